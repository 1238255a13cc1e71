"""Which mirror is told what: rules by source, type and name, and how values are thinned out."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from steelyard.domain.track.events import SCRIPT, Artifact, Logged, Metric, Params, Tags
from steelyard.domain.track.thinning import Away, Sampler, Sampling, Slot


class MetricType(StrEnum):
    """The types of what is logged, as rules name them."""

    SCALAR = "scalar"
    PARAMETER = "parameter"
    TAG = "tag"
    ARTIFACT = "artifact"


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What matches all three patterns goes to `to` and to no other mirror; `()` is nowhere.

    Patterns are those of a shell (`*`, `?`, `[ab]`), case-sensitive. Parameters and tags are looked
    at one by one; their source is `script`.

    Attributes:
        to: patterns of mirrors' labels.
        source, type, name: patterns; see `MetricType`.
        sample: how the values that match are thinned out for these mirrors.

    Raises:
        ValueError: no type is like `type`, or `sample` is for what has no values.
    """

    to: tuple[str, ...]
    source: str = "*"
    type: str = "*"
    name: str = "*"
    sample: Sampling | None = None

    def __post_init__(self) -> None:
        """Check what types can't say."""
        if not any(fnmatchcase(known, self.type) for known in MetricType):
            message = f"there is no type '{self.type}'; types are {', '.join(MetricType)}"
            raise ValueError(message)
        if self.sample is not None and not fnmatchcase(MetricType.SCALAR, self.type):
            message = f"sample is for scalars, and this rule is for the type '{self.type}'"
            raise ValueError(message)

    def matches(self, type: str, source: str, name: str) -> bool:
        """Tell whether this rule is for such an item."""
        return (
            fnmatchcase(type, self.type)
            and fnmatchcase(name, self.name)
            and fnmatchcase(source, self.source)
        )


def unmatched(rules: Sequence[Rule], labels: Sequence[str]) -> list[str]:
    """Return the patterns of `to` that no mirror's label matches: slips of the pen, mostly."""
    patterns = dict.fromkeys(pattern for rule in rules for pattern in rule.to)
    return [each for each in patterns if not any(fnmatchcase(label, each) for label in labels)]


def type_of(item: Logged) -> MetricType:
    """Return the type that rules know it by."""
    if isinstance(item, Metric):
        return MetricType.SCALAR
    if isinstance(item, Artifact):
        return MetricType.ARTIFACT
    return MetricType.PARAMETER if isinstance(item, Params) else MetricType.TAG


class Router:
    """Tells what one mirror is told. It remembers what it saw: ask about each item once, in order.

    The first rule that matches decides; what matches none is told. A value that is told goes
    through the sampling of its rule, then through that of the mirror.

    Args:
        label: of the mirror.
        rules: of the run.
        sampling: of the mirror.
    """

    def __init__(
        self, label: str, rules: Sequence[Rule] = (), sampling: Sampling | None = None
    ) -> None:
        self._rules = [
            (rule, any(fnmatchcase(label, pattern) for pattern in rule.to)) for rule in rules
        ]
        self._samplings = {
            number: rule.sample
            for number, (rule, is_told) in enumerate(self._rules)
            if is_told and rule.sample is not None
        }
        self._own = len(self._rules) + 1
        if sampling is not None:
            self._samplings[self._own] = sampling
        self._samplers: dict[str, dict[int, Sampler]] = {}
        self._known: dict[tuple[str, str], tuple[int, bool]] = {}

    @property
    def remembers(self) -> bool:
        """True when what becomes of an item depends on those before it."""
        return bool(self._samplings)

    def route(self, stream: str, items: Sequence[Logged]) -> list[Slot]:
        """Return what becomes of items that the process of `stream` logged.

        A group of parameters or tags of which a part is kept back has two slots.
        """
        slots: list[Slot] = []
        for item in items:
            if isinstance(item, Metric):
                slots += self._value(stream, item)
            elif isinstance(item, Artifact):
                _, is_told = self._decide(MetricType.ARTIFACT, item.source, item.name)
                slots.append(item if is_told else Away.RULE)
            else:
                slots += self._group(item)
        return slots

    def close(self, stream: str) -> list[Slot]:
        """Return what stands for the last values of `stream`, which has ended."""
        slots: list[Slot] = []
        for number in self._samplings:
            sampler = self._samplers.get(stream, {}).get(number)
            closed = sampler.close() if sampler is not None else []
            slots += closed if number == self._own else self._through(stream, self._own, closed)
        return slots

    def _value(self, stream: str, item: Metric) -> list[Slot]:
        key = (item.name, item.source)
        if key not in self._known:
            self._known[key] = self._decide(MetricType.SCALAR, item.source, item.name)
        number, is_told = self._known[key]
        if not is_told:
            return [Away.RULE]
        return self._through(stream, self._own, self._through(stream, number, [item]))

    def _through(self, stream: str, number: int, slots: list[Slot]) -> list[Slot]:
        """Pass the values among slots through the sampling of this place, if there is one."""
        if number not in self._samplings:
            return slots
        samplers = self._samplers.setdefault(stream, {})
        if number not in samplers:
            samplers[number] = Sampler(self._samplings[number])
        passed: list[Slot] = []
        for slot in slots:
            passed += samplers[number].take(slot) if isinstance(slot, Metric) else [slot]
        return passed

    def _group(self, item: Params | Tags) -> list[Slot]:
        kind = type_of(item)
        told = {k: v for k, v in item.values.items() if self._decide(kind, SCRIPT, k)[1]}
        if len(told) == len(item.values):
            return [item]
        kept: list[Slot] = [msgspec.structs.replace(item, values=told)] if told else []
        return [*kept, Away.RULE]

    def _decide(self, type: str, source: str, name: str) -> tuple[int, bool]:
        for number, (rule, is_told) in enumerate(self._rules):
            if rule.matches(type, source, name):
                return number, is_told
        return len(self._rules), True
