"""The page of a benchmark: Markdown tables under what they were measured on."""

import argparse
import datetime as dt
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from steelyard import __version__
from steelyard.runtime.files import write_atomic
from steelyard.runtime.host_facts import host_facts

RESULTS = Path(__file__).with_name("results")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left-aligned, all others right."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def environment(*peers: str) -> str:
    """Return when, where and with what versions a page was measured."""
    facts = host_facts()
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    versions = ", ".join(
        (f"Steelyard {__version__}", str(facts["python"]), *(peer for peer in peers if peer))
    )
    return (
        f"{today}; {facts['cpu_model']}, {facts['cpu_usable']} of {facts['cpu_count']} CPUs, "
        f"{facts['memory_bytes'] / 2**30:.0f} GiB; {facts['kernel']}, "
        f"glibc {platform.libc_ver()[1] or 'unknown'}; {versions}. Load and server on one machine."
    )


def page(title: str, claim: str, blocks: Iterable[str], *peers: str) -> str:
    """Return a page: title, what is measured, environment, tables and notes."""
    return "\n\n".join([f"# {title}", claim, *blocks, environment(*peers)]) + "\n"


def parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flags that every benchmark has."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--write", action="store_true", help="keep the page in benchmarks/results/")
    made.add_argument(
        "--quick", action="store_true", help="a tenth of the load, for a look: never kept"
    )
    return made


def publish(name: str, text: str, asked: argparse.Namespace) -> None:
    """Print the page and, when asked and the load was whole, keep it."""
    print(text, flush=True)
    if asked.write and not asked.quick:
        write_atomic(RESULTS / f"{name}.md", text.encode())


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value at `share` of sorted values, linearly interpolated; NaN without any."""
    if not ordered:
        return float("nan")
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
