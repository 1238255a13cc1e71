"""What `profile` and `report` print of a run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.domain.bench.summary import Summary
    from steelyard.runtime.plugin_host import PluginHost


def print_result(summary: "Summary", directory: str, host: "PluginHost") -> None:
    """Print the pages of all consoles on standard output; coloured on a terminal only."""
    from rich.console import Console

    from steelyard.app.report import pages

    out = Console(highlight=False)
    for page in pages(summary, directory, host):
        out.print(page, markup=False, crop=False)
