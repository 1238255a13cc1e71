"""The table of commands, and the page of `steelyard --help`: plain text."""

from typing import NamedTuple


class Command(NamedTuple):
    """One line of the command table."""

    name: str
    target: str
    summary: str


COMMANDS = (
    Command("profile", "steelyard.cli.profile:app", "Measure an inference server."),
    Command(
        "calibrate", "steelyard.cli.calibrate:app", "Measure this host's own error and ceilings."
    ),
    Command("mock", "steelyard.cli.mock:app", "Serve a simulated server whose truth is known."),
    Command("report", "steelyard.cli.report:app", "Rebuild a run's outputs from its journal."),
    Command("worker", "steelyard.cli.worker:app", "Send requests of a run on another machine."),
    Command("fleet", "steelyard.cli.fleet:app", "Run tasks on the machines that fit them."),
    Command("track", "steelyard.cli.track:app", "List, show, compare and mirror runs."),
    Command("plugins", "steelyard.cli.plugins:app", "List, explain and create plugins."),
    Command("config", "steelyard.cli.config:app", "Write, check and expand configuration files."),
    Command("completion", "steelyard.cli.completion:app", "Print shell completion."),
    Command("version", "steelyard.cli.version:app", "Print the version."),
)

ABOUT = """\
Usage: steelyard COMMAND [OPTIONS]
       steelyard --config FILE [--run-type TYPE] [--log-level LEVEL]

An instrument for AI inference servers: exact load, kernel stamps, error bars, and a verdict.
"""

_OPTIONS = """\
Options:
  -f, --config FILE     Run the plan in FILE (YAML); as `steelyard profile --config FILE`.
  --run-type TYPE       process (a process per role), inline, remote, ray or k8s.
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


def help_page() -> str:
    """Return the page that `steelyard --help` prints."""
    lines = [f"  {command.name:<12}{command.summary}" for command in COMMANDS]
    return "\n".join([ABOUT, "Commands:", *lines, "", _OPTIONS])
