"""What is wrong with the body of a request, in the words of who wrote it."""

import re
from typing import Any

import msgspec
from msgspec import inspect

from steelyard.kernel.errors import did_you_mean
from steelyard.web.problems import RequestError

_PLACE = re.compile(r"^(?P<what>.*) - at `(?P<place>\$[^`]*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[[^\]]*\]")


def problem_of(error: Exception, model: type[msgspec.Struct]) -> RequestError:
    """Return what a body was refused for: the place, and what would have done there."""
    found = _PLACE.match(str(error))
    what, place = (found["what"], found["place"]) if found else (str(error), "$")
    where = place.removeprefix("$").removeprefix(".") or "The body"
    unknown = _UNKNOWN.match(what)
    if unknown is None:
        form = None if found else f"JSON of the form {model.__name__}"
        return RequestError(422, f"{where} can't be used: {what}", expected=form)
    fields = _fields(inspect.type_info(model), place)
    return RequestError(
        422, f"{where} has an unknown field", got=unknown["field"],
        expected=f"one of {', '.join(fields)}" if fields else None,
        next_step=did_you_mean(unknown["field"], fields) or None,
    )  # fmt: skip


def _fields(found: Any, place: str) -> list[str]:
    """Return the names that a model knows at a place such as `$.tasks[0].requirements`."""
    for step in _STEP.finditer(place):
        if step[1] is None:
            found = getattr(found, "item_type", None)
        else:
            by_name = {each.encode_name: each.type for each in getattr(found, "fields", ())}
            found = by_name.get(step[1])
    return [each.encode_name for each in getattr(found, "fields", ())]
