"""What counts as a number, and how one that is not finite is marked."""

import math
from typing import Any, SupportsFloat

from steelyard.kernel.errors import UsageError


def to_scalar(value: Any, name: str = "value") -> float:
    """Return `value` as a float; NaN and infinities are kept.

    Taken are int, float, bool, Decimal, Fraction, and whatever holds exactly one number: numpy
    scalars, arrays and tensors of one element, whatever their device. Numbers are told by what
    they can do (`item()`, `__float__`), so that no library is imported for this.

    Raises:
        UsageError: it is no number, more than one, or finite and too large for a float.
    """
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]  # its exact type was just looked at
    if kind is int or kind is bool:
        return _float(value, name)
    return _float(_single(value, name), name)


def _single(value: Any, name: str) -> Any:
    item = getattr(value, "item", None)
    if item is None or isinstance(value, dict):
        return value
    try:
        return item()
    except (TypeError, ValueError, RuntimeError) as error:
        shape = getattr(value, "shape", None)
        raise UsageError(
            f"'{name}' is more than one number",
            got=f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else value,
            expected="one number, or an array with one element",
            next_step="Log its mean, or one metric per element.",
        ) from error


def _float(value: Any, name: str) -> float:
    if isinstance(value, str | bytes | complex) or not isinstance(value, SupportsFloat):
        raise UsageError(
            f"'{name}' is not a number",
            got=value,
            expected="a number, or an array with one element",
            next_step="Texts and structures go to log_params.",
        )
    try:
        number = float(value)
        if not math.isinf(number) or value == number:
            return number
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError) as error:
        # A signalling NaN of the decimal module has no float, and is a NaN all the same.
        if getattr(value, "is_nan", bool)():
            return math.nan
        raise UsageError(f"'{name}' is not a number", got=value, expected="a number") from error
    raise UsageError(
        f"'{name}' is finite and larger than a float can hold",
        expected="a number of at most 1.8e308",
        next_step="Log its logarithm, or float('inf') if that is what you mean.",
    )


def mark_of(value: float) -> str:
    """Return `nan`, `+inf` or `-inf` for a number that is not finite, else an empty string."""
    if math.isfinite(value):
        return ""
    if math.isnan(value):
        return "nan"
    return "+inf" if value > 0 else "-inf"


def number_document(value: float | None) -> Any:
    """Return a number as JSON can hold it.

    What is not finite becomes `{"value": None, "non_finite": MARK}`, which a missing value (None)
    can't be taken for.
    """
    if value is None:
        return None
    mark = mark_of(value)
    return {"value": None, "non_finite": mark} if mark else value
