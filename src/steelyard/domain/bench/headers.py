"""Header values that name an environment variable instead of holding a secret."""

import re
from collections.abc import Mapping

from steelyard.kernel.errors import UsageError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def fill_headers(
    headers: tuple[tuple[str, str], ...], environ: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return `headers` with each `${NAME}` replaced from `environ`; called once per worker.

    Raises:
        UsageError: a variable that a header names is not set.
    """

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise UsageError(
                f"A header needs the environment variable {match[1]}, which is not set",
                next_step=f"Export {match[1]}, or take the header out.",
            )
        return environ[match[1]]

    return tuple((name, _REFERENCE.sub(value_of, value)) for name, value in headers)


def variables_in(value: str) -> list[str]:
    """Return the names of the environment variables that a header value names."""
    return _REFERENCE.findall(value)
