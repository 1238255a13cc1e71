"""A run's report, made again from its journal, and the pages a person sees of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.app.composition import standard_host
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.slices import TimeSlice
from steelyard.domain.bench.summary import Summary
from steelyard.domain.bench.verdict import fails
from steelyard.kernel.errors import EXIT_OK, EXIT_VERDICT, SteelyardError
from steelyard.runtime.journal import go_on
from steelyard.runtime.metrics_table import ConsoleDisabledError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.report import build_files, quiet
from steelyard.runtime.results import Results, open_run, read_plan
from steelyard.runtime.run_lock import run_lock


@dataclass(frozen=True)
class Rebuilt:
    """What `rebuild` made.

    Attributes:
        files: paths by exporter; `failures` names the exporters that failed and why.
        exit_code: 1 when the verdict is among the statuses that the plan fails on, else 0.
    """

    summary: Summary
    files: dict[str, list[str]]
    failures: dict[str, str]
    exit_code: int


def verdict_exit_code(summary: Summary, plan: Plan) -> int:
    """Return the exit code that the plan gives this verdict: 1 when it is that bad, or worse."""
    return EXIT_VERDICT if fails(summary.verdict.status, plan.fail_on) else EXIT_OK


def plugin_dirs_of(directory: Path) -> tuple[str, ...]:
    """Return the plugin directories that the run in `directory` used.

    Raises:
        JournalError: there is no run there.
    """
    return tuple(read_plan(directory).options.get("plugin_dirs", ()))


def rebuild(
    directory: Path | str,
    host: PluginHost | None = None,
    exporters: Sequence[str] | None = None,
    tell: Callable[[str], None] = quiet,
    *,
    check: Callable[[], None] = go_on,
) -> Rebuilt:
    """Write every output of the run in `directory` anew, from its journal alone.

    Works on a run that was killed: the outputs are those of the journalled part.

    Args:
        directory: the artifact directory.
        host: the plugins; when None the standard host, with the run's plugin directories.
        exporters: names of exporters; the plan's own when None.
        tell: told what is done now.
        check: called again and again; to end the work it raises KeyboardInterrupt.

    Raises:
        JournalError: there is no run there, or it can't be read.
        UsageError: the run there is still under way.
        PluginError: no exporter has one of these names.
    """
    directory = Path(directory)
    host = host or standard_host(plugin_dirs_of(directory))
    for name in exporters or ():
        host.spec("exporter", name)
    tell("reading the journal")
    with run_lock(directory), open_run(directory, host, check) as view:
        names = view.plan.exporters if exporters is None else exporters
        built = build_files(view, host, names, tell)
        exit_code = verdict_exit_code(view.summary, view.plan)
        return Rebuilt(view.summary, built.files, built.failures, exit_code)


class SavedRun:
    """A run whose summary is at hand; its records are only read when a console asks for them."""

    def __init__(self, summary: Summary, directory: str, host: PluginHost) -> None:
        self.summary = summary
        self.directory = directory
        self._host = host

    @cached_property
    def _results(self) -> Results:
        return open_run(Path(self.directory), self._host)

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the records in export columns."""
        return self._results.batches()

    def rows(self) -> Sequence[dict[str, Any]]:
        """Return the records as a lazy sequence."""
        return self._results.rows()

    def slices(self) -> Iterator[TimeSlice]:
        """Yield the time slices."""
        return self._results.slices()

    def write_records(self, path: str, format: str) -> None:
        """Write all records."""
        self._results.write_records(path, format)

    def close(self) -> None:
        """Let go of the records, if they were read."""
        if "_results" in self.__dict__:
            self._results.close()


def pages(summary: Summary | dict[str, Any], directory: str, host: PluginHost) -> list[Any]:
    """Return what the console plugins show of a run, as rich renderables, in order of priority.

    A console that fails is named in place of its page.
    """
    known = summary if isinstance(summary, Summary) else msgspec.convert(summary, Summary)
    view = SavedRun(known, directory, host)
    shown: list[Any] = []
    try:
        for spec in host.specs("console"):
            try:
                console = host.create("console", spec.name)
                with host.border.crossing(f"console '{spec.name}'", "render the run"):
                    shown.append(console.render(view))
            except ConsoleDisabledError:
                continue
            except SteelyardError as error:
                shown.append(str(error))
    finally:
        view.close()
    return shown
