"""`steelyard profile`: flags become a plan, the plan becomes a run."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from steelyard.cli.flags import own, with_config_flags
from steelyard.kernel.errors import EXIT_OK

if TYPE_CHECKING:
    from steelyard.domain.bench.plan import Plan

app = App(
    name="profile",
    help="Measure an inference server.\n\nWithout --url, the simulated server that comes with "
    "Steelyard is started and measured. Flags win over STEELYARD_* variables, those over the file. "
    "Of a flag given twice the last counts; one that takes a list collects.",
    help_format="plaintext",
)

CONFIG = own("config", str | None, None, ("--config", "-f"), "A plan, as a YAML file.", "PATH")


@app.default
@with_config_flags(
    CONFIG,
    own("api_key", str | None, None, ("--api-key",),
        "API key, sent as `Authorization: Bearer`; STEELYARD_API_KEY does the same, out of sight "
        "of other users of this machine. Never written anywhere."),
    own("json_output", bool, False, ("--json",),
        "Print only the summary, as JSON, on standard output."),
    own("verbose", bool, False, ("--verbose", "-v"), "Log at level DEBUG."),
    own("extra_verbose", bool, False, ("--extra-verbose", "-vv"), "Log at level TRACE."),
)  # fmt: skip
def profile(**words: Any) -> int:
    """Measure an inference server."""
    given = {name: value for name, value in words.items() if value is not None}
    return run_profile_command(
        config=given.pop("config", None),
        api_key=given.pop("api_key", None),
        json_output=given.pop("json_output", False),
        verbosity=1 * given.pop("verbose", False) + 2 * given.pop("extra_verbose", False),
        flags=given,
    )


def run_profile_command(
    *,
    config: str | None = None,
    api_key: str | None = None,
    json_output: bool = False,
    verbosity: int = 0,
    flags: dict[str, Any],
) -> int:
    """Make the plan, run it and return the exit code.

    Raises:
        SteelyardError: the configuration is wrong or the run can't be made.
    """
    from steelyard.app.config import load_plan
    from steelyard.cli.secret_flags import take_secrets

    taken = take_secrets(flags, api_key)
    if verbosity:
        taken.flags.setdefault("log_level", "DEBUG" if verbosity == 1 else "TRACE")
    environ = taken.environment(os.environ)
    plan = load_plan(
        config_path=Path(config) if config is not None else None,
        flags=taken.flags,
        environ=environ,
        now_wall_ns=time.time_ns(),
        entropy=os.urandom(8),
        command_line=taken.command_line(["steelyard", *sys.argv[1:]]),
    )
    if plan.kubernetes is not None:
        return write_kubernetes(plan)
    if json_output:
        plan.options["json"] = True
    # Roles are forked or threads of this process: this is how a secret reaches them and no file.
    os.environ.update(taken.variables)

    from steelyard.app.composition import standard_host
    from steelyard.app.profile import run_profile

    outcome = run_profile(plan, api_key=taken.api_key or environ.get(plan.endpoint.api_key_env))
    # What shows results is loaded when there are some: it would delay the first request.
    from steelyard.cli.result_page import print_result, report_failures

    host = standard_host(tuple(plan.options.get("plugin_dirs", ())))
    if json_output:
        sys.stdout.buffer.write(outcome.summary_json())
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    else:
        print_result(outcome.summary, outcome.directory, host)
    if outcome.telling is not None:
        from steelyard.cli.tracked_page import print_told

        print_told(outcome.tracked(), outcome.streamed())
    return report_failures(outcome.failures, outcome.directory, host, int(outcome.exit_code))


def write_kubernetes(plan: "Plan") -> int:
    """Write the manifests of a plan and say what to do with them.

    Raises:
        UsageError: the plan needs what no pod has, or they can't be written.
    """
    from steelyard.app.kubernetes.writing import write_manifests

    written = write_manifests(plan)
    print(f"{written.name}: manifests are written, nothing was started.")
    for path in written.files:
        print(f"  {path}")
    print(f"\n{written.steps}")
    return EXIT_OK
