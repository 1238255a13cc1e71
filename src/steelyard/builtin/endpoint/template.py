"""Endpoint `template`: the user's own request body, as a Jinja template."""

import json
from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.protocol.body_template import NAMED, BodyTemplate
from steelyard.domain.bench.protocol.free_form import FreeFormReader
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest
from steelyard.kernel.errors import UsageError
from steelyard.runtime.path_safety import safe_read_template_path

_TEMPLATE, _FIELD = "payload_template", "response_field"


class TemplateEndpoint:
    """Sends what a template makes of the turn; extras are merged into it last.

    The template is `payload_template` of the options or of the extra inputs: a path, the template
    itself, or one of `NAMED`. The answer's text is found by the JMESPath `response_field` of the
    same places, or detected.

    Raises:
        UsageError: there is no template, or it makes no JSON object.
    """

    path = "/"

    def __init__(self, plan: EndpointPlan) -> None:
        """Read the template, once, before the run; requests touch no file."""
        self._plan = plan
        settings = {**plan.extra_inputs, **plan.options}
        self._template = BodyTemplate(_source(settings.get(_TEMPLATE)))
        self._reader = FreeFormReader(str(settings.get(_FIELD) or ""))

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request."""
        body = self._template.render(history, context)
        return seal(
            self._plan,
            self.path,
            body,
            history[-1],
            streaming=context.streaming,
            not_sent=frozenset({_TEMPLATE, _FIELD}),
        )

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return self._reader.read_event(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return self._reader.read_body(body)


def _source(given: Any) -> str:
    if not given:
        raise UsageError(
            "The endpoint 'template' has no template",
            expected="a path, or a Jinja template of a JSON object",
            next_step="Such as --extra-inputs payload_template:body.jinja",
        )
    if not isinstance(given, str):
        return json.dumps(given)  # the command line reads a body without variables as JSON
    if given in NAMED:
        return NAMED[given]
    text = safe_read_template_path(given)
    if text is None and "{" not in given:
        raise UsageError(
            "The payload_template can't be read as a file",
            got=given,
            expected="a plain UTF-8 file with no symbolic link on the way to it",
        )
    return given if text is None else text
