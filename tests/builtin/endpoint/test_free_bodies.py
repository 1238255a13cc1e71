"""Bodies that the user writes: by a template, or whole."""

import json

import pytest

from steelyard.builtin.endpoint.raw import RawEndpoint
from steelyard.builtin.endpoint.template import TemplateEndpoint
from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.response import RequestContext
from steelyard.kernel.errors import UsageError

WHOLE = RequestContext(model="m", streaming=False)


def sent(template, *turns, **extra):
    plan = EndpointPlan(extra_inputs={"payload_template": template, **extra})
    return json.loads(TemplateEndpoint(plan).build(turns or (Turn(text="hi"),), WHOLE).body)


def test_a_template_inline_or_in_a_file(tmp_path):
    """A path that can be read is read; anything else is the template."""
    text = '{"q": {{ text|tojson }}, "all": {{ texts|tojson }}, "m": "{{ model }}"}'
    file = tmp_path.resolve() / "body.jinja"
    file.write_text(text)
    assert sent(text) == sent(str(file)) == {"q": "hi", "all": ["hi"], "m": "m"}


def test_a_template_behind_a_link_is_not_followed(tmp_path):
    """Links on the way are refused, and a path is never sent as a body."""
    (tmp_path / "real.jinja").write_text('{"a": 1}')
    link = tmp_path.resolve() / "link.jinja"
    link.symlink_to(tmp_path / "real.jinja")
    with pytest.raises(UsageError, match="link"):
        sent(str(link))


def test_settings_are_not_sent_and_extras_go_last():
    """`payload_template` and `response_field` are ours; the turn's extra wins over the plan's."""
    turn = Turn(text="hi", extra={"a": "turn"})
    body = sent('{"a": "template", "b": 0}', turn, response_field="x", a="plan", b="plan")
    assert body == {"a": "turn", "b": "plan"}


def test_a_body_without_variables_may_come_as_json():
    """The command line reads `payload_template:{"a": 1}` as an object."""
    assert sent({"a": 1}) == {"a": 1}


def test_the_history_is_there_for_templates_that_want_it():
    turns = (Turn(text="one", system="s"), Turn(text="two", role="assistant"), Turn(text="three"))
    template = (
        '{"n": {{ turns|length }}, "roles": {{ messages|map(attribute="role")|list|tojson }}}'
    )
    assert sent(template, *turns) == {"n": 3, "roles": ["system", "user", "assistant", "user"]}


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "has no template"),
        ("nowhere.jinja", "can't be read as a file"),
        ('{"q": "{{ text }}"}', "payload_template"),  # no tojson: breaks at the first quote
        ('{"q": {{ txt|tojson }}}', "'txt' is undefined"),
        ('{"q": {{ text|tojson }', "payload_template"),
        ("[{{ text|tojson }}]", "no object"),
        ('{"q": {{ text.__class__.__mro__|length }}}', "unsafe|undefined"),
        ('{"q": {{ [1, 2]|random }}}', "random"),
    ],
)
def test_a_wrong_template_is_told_before_the_run(template, why):
    """When the endpoint is made: no request has left."""
    with pytest.raises(UsageError, match=why):
        TemplateEndpoint(EndpointPlan(options={"payload_template": template}))


def test_raw_sends_the_payload_and_adds_nothing():
    """No model, no limit, no stream, no extras: the user's payload."""
    payload = {"model": "theirs", "prompt": "hi", "stream": True}
    plan = EndpointPlan(extra_inputs={"temperature": 0}, path="/v1/completions")
    turn = Turn(raw_payload=payload, extra={"a": 1}, max_tokens=4)
    wire = RawEndpoint(plan).build((turn,), RequestContext(model="m", streaming=True))
    assert json.loads(wire.body) == payload
    assert wire.path == "/v1/completions"


def test_raw_says_which_datasets_have_payloads():
    with pytest.raises(UsageError, match="raw_payload or inputs_json"):
        RawEndpoint(EndpointPlan()).build((Turn(text="hi"),), WHOLE)


@pytest.mark.parametrize("cls", [RawEndpoint, TemplateEndpoint])
def test_a_wrong_response_field_is_told_before_the_run(cls):
    plan = EndpointPlan(options={"payload_template": '{"a": 1}', "response_field": "a[["})
    with pytest.raises(UsageError, match="no JMESPath"):
        cls(plan)
