"""The contract of an exporter: whole files, in the run's directory, whatever the run was like."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from steelyard.domain.bench.ports import Exporter, RunView
from steelyard.testing.contracts.kit import Contract, require
from steelyard.testing.contracts.sample_run import SampleRun


def _sample(directory: str, failed: bool) -> RunView:  # noqa: FBT001 - a subject's own may be positional
    return SampleRun(directory, failed=failed)


@dataclass(frozen=True)
class ExporterSubject:
    """An exporter; `make` builds it when its class takes arguments.

    `run` makes the run in a directory, one in which all failed when the second argument is True;
    for exporters that read more of a run than its view.
    """

    cls: type[Exporter]
    make: Callable[[], Exporter] | None = None
    run: Callable[[str, bool], RunView] = _sample

    def new(self) -> Exporter:
        """Return a new exporter."""
        return self.make() if self.make is not None else self.cls()


@contextmanager
def _run(subject: ExporterSubject, *, failed: bool = False) -> Iterator[RunView]:
    with tempfile.TemporaryDirectory() as directory:
        yield subject.run(directory, failed)


def _files_in(directory: str) -> set[Path]:
    return {path.resolve() for path in Path(directory).rglob("*") if path.is_file()}


def _refuse(text: str) -> NoReturn:
    raise AssertionError(f"{text} in a JSON file")


class ExporterContract(Contract):
    """Inherit, and override `subject` with an `ExporterSubject`."""

    kind = "exporter"

    def test_it_writes_what_it_says_it_wrote(self, subject: ExporterSubject) -> None:
        """The files returned are there, below the directory, not empty, and all there is."""
        with _run(subject) as view:
            before = _files_in(view.directory)
            files = [Path(f) for f in subject.new().export(view)]
            require(files, "export returned no files")
            for file in files:
                require(file.is_file(), f"{file.name} was returned and is not there")
                inside = Path(view.directory).resolve() in file.resolve().parents
                require(inside, f"{file} is outside the run's directory")
                require(file.stat().st_size > 0, f"{file.name} is empty")
            new = _files_in(view.directory) - before
            left = sorted(p.name for p in new - {f.resolve() for f in files})
            require(not left, f"left behind: {', '.join(left)}")

    def test_a_run_in_which_all_failed_is_exported_too(self, subject: ExporterSubject) -> None:
        """No metrics and no answers are no reason to write nothing."""
        with _run(subject, failed=True) as view:
            files = subject.new().export(view)
            require(files and Path(files[0]).is_file(), "nothing was written for a failed run")

    def test_a_reader_never_sees_half_a_file(self, subject: ExporterSubject) -> None:
        """A second export replaces the file by rename; who has the first open keeps it whole."""
        with _run(subject) as view:
            (first, *_) = subject.new().export(view)
            with Path(first).open("rb") as reader:
                before = Path(first).read_bytes()
                again = subject.new().export(view)
                require(first in again, "a second export has other files")
                require(reader.read() == before, "a file was written in place")

    def test_exporting_changes_no_run(self, subject: ExporterSubject) -> None:
        """Summary and rows are read only."""
        with _run(subject) as view:
            before = repr(view)
            subject.new().export(view)
            require(repr(view) == before, "export changed the run it was given")

    def test_json_is_json(self, subject: ExporterSubject) -> None:
        """No NaN and no Infinity, which JSON does not have."""
        for failed in (False, True):
            with _run(subject, failed=failed) as view:
                for file in map(Path, subject.new().export(view)):
                    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else []
                    texts = lines or ([file.read_text()] if file.suffix == ".json" else [])
                    for text in texts:
                        json.loads(text, parse_constant=_refuse)
