"""The `steelyard` command: commands are import strings, loaded when they are called.

The page of `steelyard --help` is plain text made here, so that it costs no import of the parser.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from steelyard.cli.failures import report_bug, report_error
from steelyard.kernel.errors import EXIT_BUG, EXIT_OK, SteelyardError, UsageError, did_you_mean

if TYPE_CHECKING:
    from cyclopts import App

EXIT_INTERRUPTED = 130


class Command(NamedTuple):
    """One line of the command table."""

    name: str
    target: str
    summary: str


COMMANDS = (
    Command("profile", "steelyard.cli.profile:app", "Measure an inference server."),
    Command("mock", "steelyard.cli.mock:app", "Serve a simulated server whose truth is known."),
    Command("report", "steelyard.cli.report:app", "Rebuild a run's outputs from its journal."),
    Command("plugins", "steelyard.cli.plugins:app", "List, explain and create plugins."),
    Command("config", "steelyard.cli.config:app", "Write, check and expand configuration files."),
    Command("completion", "steelyard.cli.completion:app", "Print shell completion."),
    Command("version", "steelyard.cli.version:app", "Print the version."),
)

_ABOUT = """\
Usage: steelyard COMMAND [OPTIONS]
       steelyard --config FILE [--run-type process|inline] [--log-level LEVEL]

An instrument for AI inference servers: exact load, kernel stamps, error bars, and a verdict.
"""

_OPTIONS = """\
Options:
  -f, --config FILE     Run the plan in FILE (YAML); as `steelyard profile --config FILE`.
  --run-type TYPE       process (a titled process per role) or inline (one process).
  --log-level LEVEL     TRACE, DEBUG, INFO, WARNING or ERROR.
  --debug               Show the traceback of an unexpected error.
  --version             Print the version.
  -h, --help            Show this page; `steelyard COMMAND --help` shows a command's own.

Start here:
  steelyard profile                      measure the simulated server that comes with Steelyard
  steelyard profile -m MODEL -u http://127.0.0.1:8000 --streaming --concurrency 8
  steelyard config init run.yaml         write a commented plan, then: steelyard --config run.yaml
  steelyard plugins                      what is installed, and what each plugin needs

Exit codes: 0 pass, 1 verdict or gate failed, 2 usage, 3 plugin, 4 endpoint unreachable, 70 bug.
"""

_HELP_FLAGS = frozenset({"-h", "--help"})


def help_page() -> str:
    """Return the page that `steelyard --help` prints."""
    lines = [f"  {command.name:<12}{command.summary}" for command in COMMANDS]
    return "\n".join([_ABOUT, "Commands:", *lines, "", _OPTIONS])


def build_app() -> "App":
    """Return the cyclopts app; the commands behind its import strings are not loaded yet."""
    from cyclopts import App

    from steelyard import __version__
    from steelyard.cli.run_plan import run_plan

    app = App(name="steelyard", version=__version__, help=_ABOUT, help_format="plaintext")
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
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
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
