"""Options that name environment variables, `${NAME}` or `${NAME:-default}`, instead of a secret."""

import re
from collections.abc import Mapping
from typing import Any

from steelyard.kernel.errors import UsageError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def filled(value: Any, environ: Mapping[str, str]) -> Any:
    """Return `value` with the references in its texts filled, however deep they lie.

    Raises:
        UsageError: a variable that has no default is not set.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _value_of(match, environ), value)
    if isinstance(value, Mapping):
        return {key: filled(item, environ) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, environ) for item in value]
    return value


def has_reference(value: Any) -> bool:
    """Tell whether a text names a variable."""
    return isinstance(value, str) and _REFERENCE.search(value) is not None


def _value_of(match: re.Match[str], environ: Mapping[str, str]) -> str:
    default: str | None = match[2]
    found = environ.get(match[1], default)
    if found is None:
        raise UsageError(
            f"The environment variable {match[1]} is not set",
            next_step=f"Export {match[1]}, or take the option out.",
        )
    return found
