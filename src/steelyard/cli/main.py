"""The `steelyard` command: commands are import strings, loaded when they are called.

`steelyard --help` is answered before the parser is imported.
"""

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from steelyard.cli.commands import ABOUT, COMMANDS, help_page
from steelyard.cli.failures import report_bug, report_error
from steelyard.kernel.errors import EXIT_BUG, EXIT_OK, SteelyardError, UsageError, did_you_mean

if TYPE_CHECKING:
    from cyclopts import App

EXIT_INTERRUPTED = 130


_HELP_FLAGS = frozenset({"-h", "--help"})


def build_app() -> "App":
    """Return the cyclopts app; the commands behind its import strings are not loaded yet."""
    from cyclopts import App

    from steelyard import __version__
    from steelyard.cli.help_lines import JoinedLines
    from steelyard.cli.run_plan import run_plan

    app = App(
        name="steelyard",
        version=__version__,
        help=ABOUT,
        help_format="plaintext",
        help_formatter=JoinedLines(),
        suppress_keyboard_interrupt=False,  # `main` says that it was interrupted
    )
    for command in COMMANDS:
        app.command(command.target, name=command.name)
    app.default(run_plan)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are left to the caller.

    Raises:
        SteelyardError: what the user wrote or met can't be worked with.
    """
    if not argv or argv[0] in _HELP_FLAGS:
        print(help_page(), end="")
        return EXIT_OK
    if argv[0] == "--version":
        from steelyard import __version__

        print(__version__)
        return EXIT_OK
    _refuse_unknown_command(argv[0])
    from steelyard.cli.parsing import call

    return call(build_app(), argv)


def _refuse_unknown_command(word: str) -> None:
    names = [command.name for command in COMMANDS]
    if word.startswith("-") or word in names:
        return
    raise UsageError(
        f"Unknown command '{word}'",
        expected="one of " + ", ".join(names),
        next_step=did_you_mean(word, names) or "See: steelyard --help",
    )


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run `argv` (the process's own when None) and exit with its code."""
    # Starting makes objects by the hundred thousand and next to no garbage: to look for it as often
    # as Python does would take 40 ms.
    gc.set_threshold(100_000, 50, 100)
    words = list(sys.argv[1:] if argv is None else argv)
    # What is behind `--` belongs to a command that is handed on.
    ours = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:ours]
    words = [word for word in words[:ours] if word != "--debug"] + words[ours:]
    try:
        code = run(words)
    except SteelyardError as error:
        if debug:
            raise
        code = report_error(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = EXIT_OK
    except Exception as error:  # the process's last line: a bug is reported, then 70
        if debug:
            raise
        report_bug(error)
        code = EXIT_BUG
    sys.exit(code)
