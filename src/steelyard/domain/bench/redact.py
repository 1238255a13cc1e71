"""What of a plan may be shown: everything but its secrets, by the rule of `kernel.secrets`."""

import re
from typing import Any

from steelyard.kernel.secret_names import is_secret_name
from steelyard.kernel.secrets import REDACTED, redacted, scrubbed

__all__ = ["HIDDEN", "is_secret_name", "redacted_plan", "redacted_text", "redacted_url"]

HIDDEN = REDACTED

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")


def redacted_url(url: str) -> str:
    """Return `url`, or a text with some, without users, passwords, and secrets in queries."""
    return scrubbed(_USERINFO.sub("", url))


def redacted_text(text: str) -> str:
    """Return a command line or message without bearer tokens, keys and passwords."""
    return redacted_url(text)


def redacted_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan as plain data with header values, keys and passwords hidden."""
    shown: dict[str, Any] = {key: _redacted(key, value) for key, value in plan.items()}
    endpoint = dict(shown.get("endpoint", {}))
    endpoint["headers"] = [
        [name, _redacted(name, value)]
        for name, value in plan.get("endpoint", {}).get("headers", ())
    ]
    shown["endpoint"] = {"urls": [], **endpoint}
    shown["command_line"] = redacted_text(str(plan.get("command_line", "")))
    return shown


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, item) for item in value]
    if isinstance(value, str):
        return redacted(name, _USERINFO.sub("", value))
    return redacted(name, value)
