"""`steelyard --config FILE`: run the plan in a file, without naming a command."""

from typing import Annotated, Any

from cyclopts import Parameter

from steelyard.kernel.errors import EXIT_OK


def run_plan(
    *,
    config: Annotated[str | None, Parameter(name=("--config", "-f"))] = None,
    run_type: str | None = None,
    log_level: str | None = None,
) -> int:
    """Run the plan in a file; without a file, show the help page.

    Args:
        config: the plan, a YAML file.
        run_type: `process`, `inline`, `remote`, `ray` or `k8s`.
        log_level: `TRACE`, `DEBUG`, `INFO`, `WARNING` or `ERROR`.
    """
    flags: dict[str, Any] = {"run_type": run_type, "log_level": log_level}
    given = {name: value for name, value in flags.items() if value is not None}
    if config is not None:
        from steelyard.cli.profile import run_profile_command

        return run_profile_command(config=config, flags=given)
    from steelyard.app.config import check_flags
    from steelyard.cli.commands import help_page

    check_flags(given)
    print(help_page(), end="")
    return EXIT_OK
