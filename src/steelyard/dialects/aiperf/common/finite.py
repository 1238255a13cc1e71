"""Finite numbers only: the core's four primitives."""

from steelyard.kernel.finite import (
    FiniteFloat,
    is_finite_value,
    nan_safe_mean,
    nan_safe_std,
    scrub_non_finite,
)

__all__ = [
    "FiniteFloat",
    "is_finite_value",
    "nan_safe_mean",
    "nan_safe_std",
    "scrub_non_finite",
]
