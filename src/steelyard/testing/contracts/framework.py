"""The contract of a framework: a run is told what the framework reports, and nobody else notices.

A subject uses the framework as a script does and returns what the framework itself says that it
reported; that is compared with what the run was told.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from steelyard.domain.track.ports import Framework, Sink
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.track.muting import muted
from steelyard.runtime.track.patches import PatchSet
from steelyard.testing.contracts.kit import Contract, require

Series = dict[str, list[tuple[int | None, float]]]


@dataclass
class Told:
    """What was reported.

    Attributes:
        metrics: by name, `(step, value)` in order; the step is None where none was stated.
        params: by name.
    """

    metrics: Series = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameworkSubject:
    """A framework, and a way to use it.

    Attributes:
        cls: the class.
        modules: returns those of its modules that are installed, imported.
        use: uses the framework; returns what a run must be told of that. Each call gives the same,
            but for `varies`.
        touched: returns classes, modules and lists that must be afterwards as they were.
        varies: metrics whose values differ from one use to another, such as durations.
        options: for the run.
    """

    cls: type[Framework]
    modules: Callable[[], Sequence[Any]]
    use: Callable[[], Told]
    touched: Callable[[], Sequence[Any]]
    varies: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)


class RecordingSink:
    """A run that keeps what it is told in memory; it may be one that fails."""

    def __init__(self, options: Mapping[str, Any], *, fails: bool = False) -> None:
        self.options = options
        self.memory: dict[Any, Any] = {}
        self.told = Told()
        self._fails = fails

    def log_metrics(self, values: Mapping[str, Any], step: Any = None) -> None:
        """Keep values."""
        self._fail()
        for name, value in values.items():
            taken = None if step is None else int(step)
            self.told.metrics.setdefault(name, []).append((taken, float(value)))

    def log_params(self, values: Any, prefix: str = "") -> None:
        """Keep parameters."""
        self._fail()
        dotted = {f"{prefix}.{key}" if prefix else key: value for key, value in values.items()}
        self.told.params.update(dotted)

    def _fail(self) -> None:
        if self._fails:
            message = "this run can't be told anything"
            raise RuntimeError(message)


@contextmanager
def installed(
    subject: FrameworkSubject, choose: Callable[[], Sink | None]
) -> Iterator[list[SteelyardError]]:
    """Have the framework's hooks in place in the `with` block; yield what they failed with."""
    failures: list[SteelyardError] = []
    patches = PatchSet(subject.cls.__name__, choose, failures.append)
    framework = subject.cls()
    try:
        for module in subject.modules():
            framework.install(module, patches)
        yield failures
    finally:
        patches.undo()


class FrameworkContract(Contract):
    """Inherit, and override `subject` with a `FrameworkSubject`."""

    kind = "framework"

    def test_it_waits_for_modules_by_their_full_names(self, subject: FrameworkSubject) -> None:
        """What it is installed in is what it says it waits for."""
        names = subject.cls.modules
        require(names and all(names), "it waits for nothing")
        for module in subject.modules():
            require(module.__name__ in names, f"it does not say that it waits for {module}")

    def test_a_run_is_told_what_the_framework_reports(self, subject: FrameworkSubject) -> None:
        """Each value once, with its step, in order; parameters with their values."""
        sink = RecordingSink(subject.options)
        with installed(subject, lambda: sink) as failures:
            reported = subject.use()
        require(not failures, f"a hook failed: {failures}")
        _require_same(sink.told.metrics, reported.metrics)
        for name, value in reported.params.items():
            have = sink.told.params.get(name, "missing")
            require(have == value, f"parameter {name} is {have!r}, not {value!r}")

    def test_installed_again_it_tells_each_value_once(self, subject: FrameworkSubject) -> None:
        """What was there before does not add up."""
        for _ in range(2):
            with installed(subject, lambda: None):
                pass
        sink = RecordingSink(subject.options)
        with installed(subject, lambda: sink):
            reported = subject.use()
        _require_same(sink.told.metrics, reported.metrics)

    def test_the_framework_does_the_same_with_it(self, subject: FrameworkSubject) -> None:
        """Nothing that it reports is changed by being looked at."""
        alone = subject.use()
        sink = RecordingSink(subject.options)
        with installed(subject, lambda: sink):
            watched = subject.use()
        for told in (alone, watched):
            told.metrics = {k: v for k, v in told.metrics.items() if k not in subject.varies}
        _require_same(watched.metrics, alone.metrics)

    def test_nothing_is_left_behind(self, subject: FrameworkSubject) -> None:
        """All that it touched is the very same afterwards, and nothing is heard any more."""
        subject.use()  # libraries finish themselves when they are first used
        before = [_contents(thing) for thing in subject.touched()]
        sink = RecordingSink(subject.options)
        with installed(subject, lambda: sink):
            subject.use()
        heard = {name: len(values) for name, values in sink.told.metrics.items()}
        for thing, contents in zip(subject.touched(), before, strict=True):
            changed = _changed(contents, _contents(thing))
            require(not changed, f"{thing} was left with another {', '.join(changed)}")
        subject.use()
        still = {name: len(values) for name, values in sink.told.metrics.items()}
        require(still == heard, "a run is told of what happened after all was undone")

    def test_a_run_that_fails_harms_nobody(self, subject: FrameworkSubject) -> None:
        """The script does not see it, and the hooks are silent from then on."""
        sink = RecordingSink(subject.options, fails=True)
        border = PluginBorder()
        with installed(subject, lambda: sink) as failures:
            with border.crossing(subject.cls.__name__, "leave the script alone"):
                reported = subject.use()
            require(failures, "the failure was told nobody")
        require(reported.metrics or reported.params, "the subject reports nothing to compare")

    def test_without_a_run_nothing_is_told(self, subject: FrameworkSubject) -> None:
        """And nothing where the run's own work uses the framework."""
        asked: list[int] = []
        sink = RecordingSink(subject.options)

        def choose() -> Sink | None:
            asked.append(1)
            return None

        with installed(subject, choose) as failures:
            subject.use()
        require(not failures, f"a hook failed without a run: {failures}")
        require(asked, "it was never asked whether there is a run")
        with installed(subject, lambda: sink), muted():
            subject.use()
        require(not sink.told.metrics, f"muted, it told {', '.join(sink.told.metrics)}")


def _contents(thing: Any) -> dict[str, Any]:
    if isinstance(thing, Mapping):
        return {str(key): value for key, value in thing.items()}
    if isinstance(thing, list):
        return {str(number): value for number, value in enumerate(thing)}
    return dict(vars(thing))


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**before, **after} if before.get(name) is not after.get(name)]
    # An abstract class's caches, and a module's counter of warnings, are Python's own.
    return [
        name for name in names if not (name.startswith("_abc_") or name == "__warningregistry__")
    ]


def _require_same(told: Series, reported: Series) -> None:
    for name, values in reported.items():
        there = told.get(name, [])
        require(len(there) == len(values), f"{name}: told {len(there)} values, not {len(values)}")
        for number, (have, want) in enumerate(zip(there, values, strict=True)):
            close = math.isclose(have[1], want[1], rel_tol=1e-6, abs_tol=1e-9)
            same = have[0] == want[0] and (close or (math.isnan(have[1]) and math.isnan(want[1])))
            require(same, f"value {number} of {name} is {have}, not {want}")
    strange = sorted(set(told) - set(reported))
    require(not strange, f"there are values of {', '.join(strange)}")
