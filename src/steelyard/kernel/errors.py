"""The errors a user can meet: what happened, what was got, what was expected, what to do next."""

from collections.abc import Iterable
from difflib import get_close_matches

_CLOSE = 0.6
"""Similarity from which on a word is suggested: two letters of eight may differ, not half."""

EXIT_OK = 0
EXIT_VERDICT = 1
EXIT_USAGE = 2
EXIT_PLUGIN = 3
EXIT_UNREACHABLE = 4
EXIT_BUG = 70


class SteelyardError(Exception):
    """A problem stated for the person who must mend it.

    Args:
        what: what went wrong, naming the file, line, flag or plugin.
        got: the offending value, if there is one.
        expected: what would have been accepted.
        next_step: what to do now, usually a command.
    """

    exit_code = EXIT_BUG

    def __init__(
        self,
        what: str,
        *,
        got: object | None = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        """All parts, one sentence each, on one line."""
        parts = [self.what.rstrip(".")]
        if self.got is not None:
            parts.append(f"got {self.got!r}")
        if self.expected is not None:
            parts.append(f"expected {self.expected.rstrip('.')}")
        text = "; ".join(parts)
        text += "" if text.endswith("?") else "."
        return f"{text} {self.next_step}" if self.next_step else text


class UsageError(SteelyardError):
    """A flag, file or value that the user wrote can't be used."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A configuration has mistakes; `problems` holds one line each, with file and line."""

    def __init__(self, what: str, problems: Iterable[str] = (), **rest: str | None) -> None:
        self.problems = tuple(problems)
        super().__init__(what, **rest)

    def __str__(self) -> str:
        """The summary, then each problem on a line of its own."""
        return "\n".join([super().__str__(), *(f"  {p}" for p in self.problems)])


class PluginError(SteelyardError):
    """A plugin is missing, broken or refused."""

    exit_code = EXIT_PLUGIN


class EndpointUnreachableError(SteelyardError):
    """No connection to the server under test could be made."""

    exit_code = EXIT_UNREACHABLE


class FileError(SteelyardError):
    """A file can't be written: no space, no permission, no such place."""

    exit_code = EXIT_USAGE


class JournalError(SteelyardError):
    """A journal can't be read or written."""

    exit_code = EXIT_USAGE


def exit_code_of(error: BaseException) -> int:
    """Return the code that a process ends with because of an error."""
    return error.exit_code if isinstance(error, SteelyardError) else EXIT_BUG


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `Did you mean 'x'?`, or an empty string when nothing known is close."""
    close = closest(word, known)
    return f"Did you mean '{close}'?" if close else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that `word` may be a misspelling of; empty when none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=_CLOSE)
    return close[0] if close else ""
