"""Units, and the durations a person types."""

import re

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h)?\s*$")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def parse_duration_s(text: str | float) -> float:
    """Return the seconds in `text`: a number (seconds) or a number with ns, us, ms, s, m or h.

    Raises:
        ValueError: `text` is neither.
    """
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION.match(text)
    if match is None:
        message = f"not a duration: {text!r}; write seconds, or a number with ns, us, ms, s, m or h"
        raise ValueError(message)
    return float(match[1]) * _SECONDS[match[2]]


def seconds_to_ns(seconds: float) -> int:
    """Return the nearest whole number of nanoseconds."""
    return round(seconds * NS_PER_S)
