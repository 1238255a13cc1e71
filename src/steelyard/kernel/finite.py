"""Finite numbers only: what keeps NaN and infinity out of models, files and averages."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator


def is_finite_value(value: object) -> bool:
    """Return True for a finite int, float or numpy scalar; False for all else, booleans too."""
    if isinstance(value, bool | str | bytes) or value is None:
        return False
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _require_finite(value: float) -> float:
    if not math.isfinite(value):
        message = f"must be a finite number, got {value!r}; use None where there is no value"
        raise ValueError(message)
    return value


FiniteFloat = Annotated[float, AfterValidator(_require_finite)]
"""A pydantic float that refuses NaN and infinities."""


def scrub_non_finite(value: Any) -> Any:
    """Return `value` with every non-finite number in its dicts, lists and tuples made None."""
    if isinstance(value, dict):
        return {key: scrub_non_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [scrub_non_finite(item) for item in value]
    if isinstance(value, tuple):
        return tuple(scrub_non_finite(item) for item in value)
    if isinstance(value, str | bytes | bool | int) or value is None:
        return value
    try:
        return value if math.isfinite(value) else None
    except (TypeError, ValueError):
        return value


def _finite(values: Iterable[Any]) -> list[float]:
    return [float(v) for v in values if is_finite_value(v)]


def nan_safe_mean(values: Iterable[Any]) -> float | None:
    """Return the mean of the finite values, or None when there are none."""
    kept = _finite(values)
    return math.fsum(kept) / len(kept) if kept else None


def nan_safe_std(values: Iterable[Any], ddof: int = 0) -> float | None:
    """Return the standard deviation of the finite values, or None below `max(2, ddof + 1)`."""
    kept = _finite(values)
    if len(kept) < max(2, ddof + 1):
        return None
    mean = math.fsum(kept) / len(kept)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in kept) / (len(kept) - ddof))
