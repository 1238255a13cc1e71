"""Answers in JSON, from the fleet's own models."""

from typing import Any

import msgspec
from starlette.responses import Response


def json_of(value: Any, status: int = 200) -> Response:
    """Return an answer; numbers that JSON has not (NaN) become null."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
