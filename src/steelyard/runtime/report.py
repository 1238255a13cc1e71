"""From a run's results to its files: each exporter and post-processor on its own."""

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.bench.messages import ReportBuilt
from steelyard.domain.bench.plan import PluginChoice
from steelyard.domain.bench.ports import RunView
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.finite import scrub_non_finite
from steelyard.runtime.files import write_atomic
from steelyard.runtime.journal import go_on
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import Results, open_run

POST_PROCESSORS = "post_processors"
"""Where results of post-processors are kept, below the artifact directory."""


Tell = Callable[[str], None]
"""Told in words what is done now."""


def quiet(_doing: str) -> None:
    """Nobody wants to be told."""


def export_run(
    view: RunView, host: PluginHost, names: Iterable[str], tell: Tell = quiet
) -> ReportBuilt:
    """Let each named exporter write; one that fails is named, and the others go on."""
    files: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    for name in names:
        tell(f"writing {name}")
        try:
            exporter = host.create("exporter", name)
            with host.border.crossing(f"exporter '{name}'", "write its files"):
                files[name] = [str(path) for path in exporter.export(view)]
        except SteelyardError as error:
            failures[name] = str(error)
    return ReportBuilt(files, failures, view.summary.verdict.status)


def post_process(
    view: RunView, host: PluginHost, choices: Iterable[PluginChoice], tell: Tell = quiet
) -> ReportBuilt:
    """Let each chosen post-processor see the records; keep what it returns as JSON.

    Its result is below `post_processors/<name>.json`; one that fails is named, and the others go
    on. Not to be called on an event loop's thread: it runs one.
    """
    files: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    for choice in choices:
        name = choice.name
        label = f"post_processor '{name}'"
        tell(f"post-processing by {name}")
        try:
            processor = host.create("post_processor", name, **choice.config)
            with host.border.crossing(label, "process the records"):
                result = asyncio.run(processor.process(view.rows()))
            with host.border.crossing(label, "return plain data"):
                data = _json_of(result)
            path = Path(view.directory) / POST_PROCESSORS / f"{_file_name(name)}.json"
            write_atomic(path, data)
            files[name] = [str(path)]
        except SteelyardError as error:
            failures[name] = str(error)
    return ReportBuilt(files, failures, view.summary.verdict.status)


def _json_of(result: Any) -> bytes:
    """Return a `ProcessingResult` of any make (Struct, dataclass, pydantic, mapping) as JSON."""
    dump = getattr(result, "model_dump", None)
    plain = dump(mode="json") if callable(dump) else msgspec.to_builtins(result)
    text = json.dumps(scrub_non_finite(plain), indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name).lstrip(".") or "_"


def build_files(
    view: Results, host: PluginHost, exporters: Iterable[str], tell: Tell = quiet
) -> ReportBuilt:
    """Let `exporters` and the plan's post-processors write."""
    exported = export_run(view, host, exporters, tell)
    processed = post_process(view, host, view.plan.post_processors, tell)
    return ReportBuilt(
        exported.files | {f"{POST_PROCESSORS}/{n}": f for n, f in processed.files.items()},
        exported.failures | {f"{POST_PROCESSORS}/{n}": f for n, f in processed.failures.items()},
        exported.verdict,
        msgspec.to_builtins(view.summary),
    )


def build_report(
    directory: Path, host: PluginHost, *, check: Callable[[], None] = go_on, tell: Tell = quiet
) -> ReportBuilt:
    """Read the run in `directory` and write all its plan asks for.

    Args:
        directory: the artifact directory.
        host: the plugins.
        check: called again and again; to end the work it raises KeyboardInterrupt, which no border
            of plugins holds up. No temporary file is left then.
        tell: told what is done now.

    Raises:
        JournalError: there is no run to read there.
    """
    tell("reading the journal")
    with open_run(directory, host, check) as view:
        return build_files(view, host, view.plan.exporters, tell)
