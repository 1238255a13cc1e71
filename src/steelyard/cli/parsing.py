"""Hands a command line to cyclopts and says its refusals in our own form, all flags at once."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from steelyard.kernel.errors import EXIT_OK, ConfigError, UsageError, closest, did_you_mean

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError


def call(app: "App", argv: Sequence[str]) -> int:
    """Run `argv` through `app` and return the exit code of the command.

    Raises:
        UsageError: a flag is unknown, lacks its value or stands where none is taken.
    """
    from cyclopts import CycloptsError

    try:
        result = app(
            list(argv), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        raise refusal(error, argv) from None
    return result if isinstance(result, int) else EXIT_OK


def refusal(error: "CycloptsError", argv: Sequence[str]) -> UsageError:
    """Return cyclopts' refusal of `argv` as an error of ours."""
    from cyclopts import (
        MissingArgumentError,
        RepeatArgumentError,
        UnknownCommandError,
        UnknownOptionError,
    )

    command = " ".join(["steelyard", *(error.command_chain or ())])
    see = f"See: {command} --help"
    if isinstance(error, UnknownOptionError):
        names = [name for argument in error.argument_collection for name in argument.names]
        if any(each.field_info.kind is each.field_info.VAR_POSITIONAL
               for each in error.argument_collection):  # fmt: skip
            see = f"Flags of what is handed on stand behind `--`. {see}"
        return _unknown_flags(error.token.keyword or error.token.value, names, argv, see)
    flag = error.argument.name if error.argument is not None else ""
    if isinstance(error, MissingArgumentError) and flag:
        what = "is required" if not _is_given(error, argv) else "needs a value"
        return UsageError(f"{flag} {what}", next_step=see)
    if isinstance(error, RepeatArgumentError):
        return UsageError(f"{error.token.keyword} is given more than once", next_step=see)
    if isinstance(error, UnknownCommandError) and error.app is not None and error.unused_tokens:
        known = [name for name in error.app if not name.startswith("-")]
        word = error.unused_tokens[0]
        return UsageError(f"Unknown command '{word}'", expected="one of " + ", ".join(known),
                          next_step=did_you_mean(word, known) or see)  # fmt: skip
    if error.unused_tokens:
        return UsageError("Unexpected words", got=" ".join(error.unused_tokens), next_step=see)
    return UsageError(str(error).strip(), next_step=see)


def _is_given(error: "CycloptsError", argv: Sequence[str]) -> bool:
    names = error.argument.names if error.argument is not None else ()
    return any(word.partition("=")[0] in names for word in argv)


def _unknown_flags(first: str, names: Sequence[str], argv: Sequence[str], see: str) -> UsageError:
    unknown = _unknown_words(first, names, argv)
    problems = [explain_unknown_flag(word, names) for word in unknown]
    if len(problems) == 1:
        return UsageError(problems[0], next_step=see)
    return ConfigError(f"{len(problems)} flags can't be used", problems, next_step=see)


def _unknown_words(first: str, names: Sequence[str], argv: Sequence[str]) -> Iterable[str]:
    """Yield each word that looks like a flag and is none, once; `first` comes first."""
    known = {*names, "--help", "-h", "--version"}
    seen = {first.partition("=")[0]}
    yield first.partition("=")[0]
    for word in argv:
        flag = word.partition("=")[0]
        if flag.startswith("--") and len(flag) > 2 and flag not in known | seen:
            seen.add(flag)
            yield flag


def explain_unknown_flag(flag: str, names: Sequence[str]) -> str:
    """Return one line on a flag that isn't ours: not supported yet, or misspelt."""
    from steelyard.app.config.unsupported import reason

    if (why := reason(flag)) is not None:
        return f"{flag} is not supported yet: {why}"
    # Without the dashes, which any two flags share.
    bare = {name.lstrip("-"): name for name in names if name.startswith("--")}
    close = closest(flag.lstrip("-"), bare)
    return f"Unknown flag {flag}" + (f". Did you mean '{bare[close]}'?" if close else "")
