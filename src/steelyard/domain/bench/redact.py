"""What of a plan may be shown: everything but its secrets."""

import re
from typing import Any

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(
    r"(?i)auth|token(?!izer|s\b|_count)|secret|password|api[-_]?key|cookie|cred"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_SECRET_FLAG = re.compile(r"(?i)(--[\w-]*(?:api-key|token|secret|password))(\s+|=)(\S+)")
_SECRET_HEADER = re.compile(
    r"(?i)\b([\w-]*(?:authorization|api-key|secret|cookie)[\w-]*\s*[:=]\s*)"
    r"(?:(?:bearer|basic)\s+)?[^'\"\s]+"
)

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
# `key` and `sig` alone are secrets in vendors' URLs.
_SECRET_QUERY = re.compile(
    r"(?i)([?&](?:[\w.-]*(?:auth|token(?!izer)|secret|password|api[-_]?key|cred)[\w.-]*|key|sig)=)[^&#\s'\"]+"
)


def is_secret_name(name: str) -> bool:
    """Tell whether a header or field of this name holds a secret, as far as names tell."""
    return _SECRET_NAME.search(name) is not None


def redacted_url(url: str) -> str:
    """Return `url`, or a text with some, without users, passwords, and secrets in queries."""
    return _SECRET_QUERY.sub(rf"\1{HIDDEN}", _USERINFO.sub("", url))


def redacted_text(text: str) -> str:
    """Return a command line or message without bearer tokens, keys and passwords."""
    text = _SECRET_HEADER.sub(rf"\1{HIDDEN}", redacted_url(text))
    text = _SECRET_FLAG.sub(rf"\1\2{HIDDEN}", text)
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def redacted_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan as plain data with header values, keys and passwords hidden."""
    shown = {key: _redacted(key, value) for key, value in plan.items()}
    endpoint = dict(shown.get("endpoint", {}))
    endpoint["headers"] = [
        [name, HIDDEN if _SECRET_NAME.search(name) else redacted_text(value)]
        for name, value in plan.get("endpoint", {}).get("headers", ())
    ]
    endpoint["urls"] = [redacted_url(url) for url in endpoint.get("urls", ())]
    shown["endpoint"] = endpoint
    shown["command_line"] = redacted_text(str(plan.get("command_line", "")))
    return shown


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, item) for item in value]
    # `api_key_env` names a variable; the key itself is never in a plan.
    if isinstance(value, str) and value and _SECRET_NAME.search(name) and not name.endswith("_env"):
        return HIDDEN
    return redacted_url(value) if isinstance(value, str) else value
