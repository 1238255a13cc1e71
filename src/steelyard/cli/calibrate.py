"""`steelyard calibrate`: what this host can carry, and how far its stamps are from the truth."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from rich.table import Table

    from steelyard.domain.bench.calibration import Calibration

_HELP = """Measure this host's ceilings and stamp error against a server whose truth is known.

The simulated server runs beside the instrument and logs when each request arrived and each chunk \
left. The result is kept for this host, kernel, Python and version of Steelyard; from then on \
`steelyard profile` gives each latency an error bar from the level of load that is nearest to \
the run's. Let the machine be idle.

Examples:

  steelyard calibrate

  steelyard calibrate --quick --json
"""

BUSY_SHARE = 0.5
"""A load average above this share of the CPUs leaves less than a core to client or server."""

app = App(name="calibrate", help=_HELP, help_format="plaintext")


@app.default
def calibrate(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    save: bool = True,
) -> int:
    """Calibrate and keep the result.

    Args:
        quick: Fewer and shorter levels: 10 seconds instead of 30.
        as_json: Print only the calibration, as JSON, on standard output.
        save: Keep it, in place of the last one.
    """
    import msgspec

    from steelyard.app.calibrate import calibrate as measure
    from steelyard.runtime.calibration_store import save_calibration, state_directory

    def tell(sweep: str) -> None:
        print(f"calibrating: {sweep} ...", file=sys.stderr, flush=True)

    _warn_if_busy()
    calibration = measure(quick=quick, on_sweep=tell)
    path = save_calibration(calibration, state_directory(os.environ)) if save else None
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(calibration), indent=2))
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        return 0
    _print(calibration)
    print(f"\nKept in {path}" if path else "\nNot kept.")
    return 0


def _warn_if_busy() -> None:
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > BUSY_SHARE * cores:
        print(
            f"The machine is busy (load {load:.2g} on {cores} CPUs): ceilings will be lower and "
            "errors larger than they are when it is idle.",
            file=sys.stderr,
            flush=True,
        )


def _print(calibration: "Calibration") -> None:
    from rich.console import Console

    out = Console(highlight=False)
    most = calibration.ceilings
    out.print(_load_table(calibration))
    out.print()
    out.print(_error_table(calibration))
    out.print(
        f"\nCeilings, one worker beside the simulated server: {most.requests_per_s:,.0f} "
        f"requests/s, {most.events_per_s:,.0f} events/s, {most.connections:,} connections.",
        markup=False,
    )


def _load_table(calibration: "Calibration") -> "Table":
    table = _table("Load", "requests", "failed", "requests/s", "events/s")
    for level in calibration.levels:
        table.add_row(
            level.name, f"{level.requests:,}", f"{level.failed:,}",
            f"{level.requests_per_s:,.0f}", f"{level.events_per_s:,.0f}",
        )  # fmt: skip
    return table


def _error_table(calibration: "Calibration") -> "Table":
    from steelyard.domain.bench.calibration import MEASURES

    table = _table("Error against the truth, ms", "", "p50", "p99", "max")
    for level in calibration.levels:
        for measure in MEASURES:
            found = level.errors.get(measure)
            if found is not None:
                numbers = (f"{value:.4f}" for value in (found.p50, found.p99, found.max))
                table.add_row(level.name, measure, *numbers)
    return table


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
