"""The contract of a backend: all that it took is there, in order, and the same.

A subject says how what the tracker keeps is read back, through the tracker's own storage. What
can't be read back is left out of `verified`, and with it out of what the backend may claim.
"""

import hashlib
import math
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from steelyard.domain.track.events import (
    Artifact,
    Failure,
    Logged,
    Metric,
    Params,
    RunEnded,
    Tags,
)
from steelyard.domain.track.ports import Backend, Delivery, RunFacts
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.testing.contracts.kit import Contract, require

ALL_PARTS = frozenset({"metrics", "params", "tags", "artifacts", "status"})
BATCH = 50
POINTS = 400
SECONDS_MAX = 60.0
_WALL_NS = 1_780_000_000_000_000_000
_T = TypeVar("_T")


@dataclass
class ReadBack:
    """A run as the tracker has it.

    Attributes:
        metrics: by name, `(step, value)` in the tracker's order.
        params, tags: by name.
        artifacts: contents by name.
        status: `running`, `finished`, `failed` or `killed`.
        runs: how many runs the tracker has in all.
    """

    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    status: str = "running"
    runs: int = 1


@dataclass(frozen=True)
class BackendSubject:
    """A backend, and how to look behind it.

    Attributes:
        cls: its class.
        make: returns a new one, which keeps its runs in this directory.
        read: returns the only run in it.
        verified: which parts of a run `read` can tell.
        same_param: tells whether a parameter came back as it was; trackers with texts only compare
            texts.
        killed_as: what the tracker calls a run that was killed, as `read` tells it.
        seconds_max: how long a whole run may take.
    """

    cls: type[Backend]
    make: Callable[[Path], Backend]
    read: Callable[[Path], ReadBack]
    verified: frozenset[str] = ALL_PARTS
    same_param: Callable[[Any, Any], bool] = lambda kept, given: bool(kept == given)
    killed_as: str = "killed"
    seconds_max: float = SECONDS_MAX

    def has(self, part: str) -> bool:
        """Tell whether a part can be read back."""
        return part in self.verified


def facts(reference: str = "") -> RunFacts:
    """Return a run to open a backend with."""
    return RunFacts(
        run_id="20261122-045412-9f3a1c",
        name="contract",
        project="kit",
        tags={"first": "tag"},
        started_ns=_WALL_NS,
        reference=reference,
    )


def points(count: int = POINTS, first: int = 0) -> list[Metric]:
    """Return values of two metrics in turn; steps begin at 0."""
    return [
        Metric(
            name=("loss", "val/accuracy")[number % 2],
            value=number / 7,
            step=number // 2,
            wall_ns=_WALL_NS + number * 1_000_000,
        )
        for number in range(first, first + count)
    ]


def expected(items: Sequence[Metric]) -> dict[str, list[tuple[int, float]]]:
    """Return what a tracker should have of these."""
    found: dict[str, list[tuple[int, float]]] = {}
    for item in items:
        found.setdefault(item.name, []).append((item.step, item.value))
    return found


def deliver(backend: Backend, items: Sequence[Logged]) -> dict[str, str]:
    """Hand items over as a mirror does; return why which were refused, by their text."""
    pending = list(items)
    refused: dict[str, str] = {}
    for _ in range(len(items) + 1):
        if not pending:
            return refused
        batch = pending[:BATCH]
        delivery = backend.log(batch)
        require(isinstance(delivery, Delivery), f"log returned {delivery!r}, not a Delivery")
        claim = f"log took {delivery.taken} of {len(batch)} items"
        require(0 < delivery.taken <= len(batch), claim)
        for index, reason in delivery.refused.items():
            require(0 <= index < delivery.taken, f"item {index} was refused and not taken")
            require(reason, "an item was refused without a reason")
            refused[str(batch[index])] = reason
        pending = pending[delivery.taken :]
    raise AssertionError(f"{len(pending)} items were never taken")


def in_time(subject: BackendSubject, work: Callable[[], _T]) -> _T:
    """Return what `work` returns, done by one thread within the subject's time."""
    results: list[_T] = []
    errors: list[SteelyardError] = []

    def run() -> None:
        try:
            with PluginBorder().crossing(subject.cls.__name__, "keep its contract"):
                results.append(work())
        except SteelyardError as error:
            errors.append(error)

    # A daemon: a backend that hangs must not keep the tests from ending.
    thread = threading.Thread(target=run, name="backend-contract", daemon=True)
    thread.start()
    thread.join(subject.seconds_max)
    if errors:
        raise errors[0].__cause__ or errors[0]
    require(results, f"the backend did not come back within {subject.seconds_max} s")
    return results[0]


class BackendContract(Contract):
    """Inherit, and override `subject` with a `BackendSubject`."""

    kind = "backend"

    def test_metrics_come_back_whole_and_in_order(self, subject: BackendSubject) -> None:
        """No value is lost, doubled, moved or changed; step 0 is step 0."""
        with tempfile.TemporaryDirectory() as name:
            items = points()
            refused, kept = _track(subject, Path(name), items)
            require(not refused, f"plain numbers were refused: {list(refused.values())[:1]}")
            if subject.has("metrics"):
                _require_same_metrics(kept.metrics, expected(items))

    def test_nan_and_infinities_are_kept_or_refused_by_name(self, subject: BackendSubject) -> None:
        """A number that the tracker can't hold is refused with a reason, not changed or lost."""
        values = [1.0, math.nan, math.inf, -math.inf, 2.0]
        items = [
            Metric(name="m", value=value, step=step, wall_ns=_WALL_NS + step)
            for step, value in enumerate(values)
        ]
        with tempfile.TemporaryDirectory() as name:
            refused, kept = _track(subject, Path(name), items)
            if subject.has("metrics"):
                wanted = expected([item for item in items if str(item) not in refused])
                _require_same_metrics(kept.metrics, wanted)

    def test_parameters_and_tags_come_back(self, subject: BackendSubject) -> None:
        """With their names, also those of the run's start."""
        params = {"optimizer.lr": 0.1, "layers": 3, "name": "größe", "flag": True, "none": None}
        items: list[Logged] = [
            Params(values=params, wall_ns=_WALL_NS),
            Params(values={"later": 1}, wall_ns=_WALL_NS),
            Tags(values={"second": "x=y"}, wall_ns=_WALL_NS),
        ]
        with tempfile.TemporaryDirectory() as name:
            refused, kept = _track(subject, Path(name), items)
            if subject.has("params"):
                for key, value in (params | {"later": 1}).items():
                    there = key in kept.params or any(key in text for text in refused)
                    require(there, f"parameter {key} is gone")
                    if key in kept.params:
                        same = subject.same_param(kept.params[key], value)
                        require(same, f"parameter {key} is {kept.params[key]!r}, not {value!r}")
            if subject.has("tags"):
                for key, value in {"first": "tag", "second": "x=y"}.items():
                    require(kept.tags.get(key) == value, f"tag {key} is {kept.tags.get(key)!r}")

    def test_artifacts_come_back_byte_for_byte(self, subject: BackendSubject) -> None:
        """Binary, empty, and in a folder; the last of two versions counts."""
        contents = {
            "model.bin": bytes(range(256)) * 300,
            "empty.txt": b"",
            "plots/a/loss.svg": b"<svg/>\r\n",
        }
        versions = [("model.bin", b"an earlier one"), *contents.items()]
        with tempfile.TemporaryDirectory() as name:
            blobs = Path(name) / "blobs"
            blobs.mkdir()
            items = [_artifact(blobs, key, data) for key, data in versions]
            refused, kept = _track(subject, Path(name) / "tracker", items)
            if subject.has("artifacts"):
                gone = {key: data for key, data in contents.items() if key not in kept.artifacts}
                silent = [key for key in gone if not any(f"'{key}'" in text for text in refused)]
                require(not silent, f"artifact {', '.join(silent)} is gone")
                for key, data in contents.items():
                    same = key in gone or kept.artifacts[key] == data
                    require(same, f"artifact {key} came back changed")

    def test_the_end_is_told(self, subject: BackendSubject) -> None:
        """Finished, failed and killed are three things."""
        if not subject.has("status"):
            return
        failure = Failure(type="ValueError", message="boom", traceback="...")
        ends = {
            "finished": RunEnded(status="finished"),
            "failed": RunEnded(status="failed", failure=failure),
            subject.killed_as: RunEnded(status="killed"),
        }
        for status, end in ends.items():
            with tempfile.TemporaryDirectory() as name:
                _, kept = _track(subject, Path(name), points(4), end=end)
                require(kept.status == status, f"a {end.status} run is {kept.status}")

    def test_another_process_goes_on_with_the_run(self, subject: BackendSubject) -> None:
        """`open` with a reference continues; what came before stays, in one run."""
        first, second = points(60), points(60, first=60)
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)

            def work() -> str:
                reference = ""
                ends: tuple[RunEnded | None, ...] = (None, RunEnded(status="finished"))
                for items, end in zip((first, second), ends, strict=True):
                    backend = subject.make(directory)
                    reference = backend.open(facts(reference))
                    require(reference, "open returned no reference")
                    deliver(backend, items)
                    backend.flush()
                    backend.close(end)
                return reference

            in_time(subject, work)
            kept = subject.read(directory)
            require(kept.runs == 1, f"there are {kept.runs} runs")
            if subject.has("metrics"):
                _require_same_metrics(kept.metrics, expected([*first, *second]))

    def test_a_run_without_anything_is_closed_too(self, subject: BackendSubject) -> None:
        """Nothing logged, flushed twice, and closed without having been opened."""
        with tempfile.TemporaryDirectory() as name:

            def work() -> bool:
                backend = subject.make(Path(name))
                backend.open(facts())
                backend.flush()
                backend.flush()
                backend.close(RunEnded(status="finished"))
                subject.make(Path(name)).close(None)
                return True

            in_time(subject, work)


def _track(
    subject: BackendSubject,
    directory: Path,
    items: Sequence[Logged],
    end: RunEnded | None = None,
) -> tuple[dict[str, str], ReadBack]:
    """Return what was refused of a whole run, and the run as it was read back."""

    def work() -> dict[str, str]:
        backend = subject.make(directory)
        backend.open(facts())
        refused = deliver(backend, items)
        backend.flush()
        backend.close(end or RunEnded(status="finished"))
        return refused

    # In a list: what refuses nothing would look like no answer.
    (refused,) = in_time(subject, lambda: [work()])
    return refused, subject.read(directory)


def _artifact(blobs: Path, name: str, data: bytes) -> Artifact:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Artifact(
        name=name, sha256=digest, size=len(data), path=str(blobs / digest), wall_ns=_WALL_NS
    )


def _require_same_metrics(
    kept: dict[str, list[tuple[int, float]]], wanted: dict[str, list[tuple[int, float]]]
) -> None:
    for name, values in wanted.items():
        there = kept.get(name, [])
        require(len(there) == len(values), f"{name} has {len(there)} values, not {len(values)}")
        for number, (have, want) in enumerate(zip(there, values, strict=True)):
            same = have[0] == want[0] and _same_number(have[1], want[1])
            require(same, f"value {number} of {name} is {have}, not {want}")
    strange = sorted(set(kept) - set(wanted))
    require(not strange, f"there are values of {', '.join(strange)}")


def _same_number(have: float, want: float) -> bool:
    """Single precision will do: some trackers keep no more."""
    if math.isnan(want) or math.isinf(want):
        return (math.isnan(have) and math.isnan(want)) or have == want
    return math.isclose(have, want, rel_tol=1e-6, abs_tol=1e-9)
