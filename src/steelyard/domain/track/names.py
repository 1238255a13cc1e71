"""What things may be called."""

import re
from collections.abc import Mapping
from typing import Any

from steelyard.kernel.errors import UsageError

NAME_MAX = 500

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_name(name: Any, what: str) -> str:
    """Return `name`, which `what` is called (a metric, a run).

    Raises:
        UsageError: it is no text, empty, too long, or has control characters or half ones.
    """
    good = isinstance(name, str) and 0 < len(name) <= NAME_MAX and not _UNUSABLE.search(name)
    if not good:
        article = "an" if what[0] in "aeiou" else "a"
        raise UsageError(
            f"The name of {article} {what} can't be used",
            got=name if not isinstance(name, str) or len(name) <= 80 else f"{name[:80]}…",
            expected=f"1 to {NAME_MAX} characters, no control character and no lone surrogate",
        )
    return str(name)


def nearest_name(text: str) -> str:
    """Return the name that is nearest to a text of somebody who knows of no names; "" for ""."""
    return _UNUSABLE.sub("\N{REPLACEMENT CHARACTER}", text[:NAME_MAX])


def check_names(given: Any, what: str) -> dict[str, Any]:
    """Return what is given by name, such as tags.

    Raises:
        UsageError: it has no names, or one that can't be used.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"Each {what} has a name", got=given, expected=f"a dict, such as {{{what!r}: 'x'}}"
        )
    return {check_name(name, what): value for name, value in given.items()}


def check_run_id(run_id: Any) -> str:
    """Return `run_id`, which becomes a directory's name.

    Raises:
        UsageError: it would not do as one.
    """
    if not isinstance(run_id, str) or _RUN_ID.fullmatch(run_id) is None:
        raise UsageError(
            "A run's id must do as a directory's name",
            got=run_id,
            expected="1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit",
        )
    return run_id


def check_artifact_name(name: Any) -> str:
    """Return `name` with single slashes; it is a path below the run's artifacts.

    Raises:
        UsageError: it is absolute or leads out of them.
    """
    check_name(name, "artifact")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or "\\" in name or ".." in parts or not parts:
        raise UsageError(
            "The name of an artifact can't be used",
            got=name,
            expected="a relative path without '..'",
        )
    return "/".join(parts)
