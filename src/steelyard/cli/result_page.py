"""What `profile` and `report` print of a run."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.domain.bench.summary import Summary
    from steelyard.runtime.plugin_host import PluginHost

WIDTH_PIPE = 300
"""Columns of a page that is no terminal's: tables and the sentences of a verdict fit."""


@contextmanager
def doing_line() -> Iterator[Callable[[str], None]]:
    """Yield what shows on a terminal's stderr what is done now; the line is gone at the end."""
    stream = sys.stderr
    terminal = stream.isatty()

    def tell(doing: str) -> None:
        if terminal:
            stream.write(f"\r{doing}\x1b[K")
            stream.flush()

    try:
        yield tell
    finally:
        tell("")


def print_result(summary: "Summary", directory: str, host: "PluginHost") -> None:
    """Print the pages of all consoles on standard output; coloured on a terminal only.

    What is piped is as wide as it needs to be, unless COLUMNS says otherwise, and its lines carry
    no trailing spaces.
    """
    from rich.console import Console

    from steelyard.app.report import pages

    knows_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    out = Console(highlight=False, width=None if knows_width else WIDTH_PIPE)
    for page in pages(summary, directory, host):
        if out.is_terminal:
            out.print(page, markup=False, crop=False)
            continue
        with out.capture() as written:
            out.print(page, markup=False, crop=False)
        print("\n".join(line.rstrip() for line in written.get().splitlines()))


def report_failures(
    failures: Mapping[str, str], directory: str, host: "PluginHost", exit_code: int
) -> int:
    """Say which outputs were not written, one line a reason; return the command's exit code.

    It is 2 when one of our own could not write, 3 when only other people's failed, and `exit_code`
    when nothing did or a person stopped the run.

    Args:
        failures: reasons by exporter.
        directory: of the run.
        host: knows whose each exporter is.
        exit_code: what the command would return otherwise.
    """
    from steelyard.kernel.errors import EXIT_OK, EXIT_PLUGIN, EXIT_USAGE, EXIT_VERDICT

    if not failures:
        return exit_code
    alike: dict[str, list[str]] = {}
    for name, reason in failures.items():
        # "Can't write PATH: reason": a full disk is one trouble, however many files it hits.
        alike.setdefault(reason.partition(": ")[2] or reason, []).append(name)
    for names in alike.values():
        print(f"error: not written: {', '.join(names)}: {failures[names[0]]}", file=sys.stderr)
    print(f"Once that is mended: steelyard report {directory}", file=sys.stderr)
    if exit_code not in (EXIT_OK, EXIT_VERDICT):
        return exit_code
    own = {spec.name for spec in host.specs("exporter") if spec.origin == "builtin"}
    return EXIT_USAGE if own.intersection(failures) else EXIT_PLUGIN
