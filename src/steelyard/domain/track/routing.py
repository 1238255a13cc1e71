"""Which mirror is told what: rules by source, type and name."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params


class MetricType(StrEnum):
    """The types of what is logged, as rules name them."""

    SCALAR = "scalar"
    PARAMETER = "parameter"
    TAG = "tag"
    ARTIFACT = "artifact"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What matches all three patterns goes to `to` and to no other mirror; `()` is nowhere.

    Patterns are those of a shell (`*`, `?`, `[ab]`), case-sensitive. Parameters and tags come in
    groups, which have no name: only a rule whose `name` is `*` matches them.
    """

    to: tuple[str, ...]
    source: str = "*"
    type: str = "*"
    name: str = "*"


def type_of(item: Logged) -> MetricType:
    """Return the type that rules know it by."""
    if isinstance(item, Metric):
        return MetricType.SCALAR
    if isinstance(item, Artifact):
        return MetricType.ARTIFACT
    return MetricType.PARAMETER if isinstance(item, Params) else MetricType.TAG


def is_for(backend: str, item: Logged, rules: Sequence[Rule]) -> bool:
    """Tell whether `backend` is told of `item`: the first rule that matches decides, else yes."""
    for rule in rules:
        if _matches(rule, item):
            return any(fnmatchcase(backend, pattern) for pattern in rule.to)
    return True


def _matches(rule: Rule, item: Logged) -> bool:
    named = isinstance(item, Metric | Artifact)
    name, source = (item.name, item.source) if isinstance(item, Metric | Artifact) else ("", "")
    return (
        fnmatchcase(type_of(item), rule.type)
        and (fnmatchcase(name, rule.name) if named else rule.name == "*")
        and (fnmatchcase(source, rule.source) if named else rule.source == "*")
    )
