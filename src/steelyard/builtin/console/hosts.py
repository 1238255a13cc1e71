"""The machines of a run whose workers joined from others than the controller's."""

from typing import Any

from rich.table import Table

from steelyard.domain.bench.ports import RunView
from steelyard.runtime.metrics_table import ConsoleDisabledError, short_number


class HostsConsole:
    """Shows a line for each machine: what it sent, and how well its clock is known."""

    def render(self, view: RunView) -> Any:
        """Return the table; it fits 80 columns.

        Raises:
            ConsoleDisabledError: all workers were on the controller's machine.
        """
        hosts = view.summary.hosts
        if not hosts:
            raise ConsoleDisabledError("All workers were forked on this machine")
        table = Table(box=None, padding=(0, 1, 0, 0), title="Machines", title_justify="left")
        table.title_style = "bold"
        table.add_column("host", overflow="fold")
        for name in ("workers", "requests", "clock offset ± (us)", "start skew (ms)"):
            table.add_column(name, justify="right")
        for host in hosts:
            lost = sum(worker.lost for worker in host.workers)
            table.add_row(
                host.host,
                f"{len(host.workers)}" + (f" ({lost} lost)" if lost else ""),
                f"{host.requests}",
                short_number(host.clock_offset_bound_us),
                short_number(host.start_skew_ms),
            )
        return table
