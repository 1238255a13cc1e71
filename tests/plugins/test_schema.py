"""Configuration is checked in both schema dialects, with an error per field."""

import pytest

from steelyard.kernel.errors import ConfigError, PluginError
from steelyard.plugins.schema import apply_schema, is_json_schema, to_json_schema

SHORT = {
    "api_endpoint": {"type": "string", "required": True},
    "timeout": {"type": "number", "default": 30},
    "deep": {"type": "boolean", "default": False},
}
FULL = {
    "type": "object",
    "properties": {
        "rate": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "retry": {
            "type": "object",
            "properties": {"count": {"type": "integer", "default": 3}},
            "required": ["wait_s"],
        },
    },
    "required": ["rate"],
    "additionalProperties": False,
}


def problems(schema, config, **kwargs):
    with pytest.raises(ConfigError) as caught:
        apply_schema(schema, config, plugin="backend 'x'", **kwargs)
    assert caught.value.exit_code == 2
    assert "backend 'x'" in str(caught.value)
    return caught.value.problems


def test_the_short_dialect_fills_in_defaults():
    filled = apply_schema(SHORT, {"api_endpoint": "u"}, plugin="p")
    assert filled == {"api_endpoint": "u", "timeout": 30, "deep": False}


def test_every_wrong_field_is_said():
    assert sorted(problems(SHORT, {"timeout": "long", "deap": 1})) == [
        "api_endpoint: is required",
        "deap: unknown option. Did you mean 'deep'?",
        "timeout: got 'long'; expected number",
    ]


def test_a_boolean_is_no_number():
    assert problems(SHORT, {"api_endpoint": "u", "timeout": True}) == (
        "timeout: got True; expected number",
    )


def test_options_beyond_the_schema_pass_when_it_is_not_strict():
    filled = apply_schema(SHORT, {"api_endpoint": "u", "more": 1}, plugin="p", strict=False)
    assert filled["more"] == 1


def test_json_schema_is_enforced_with_nested_defaults():
    config = {"rate": 1, "retry": {"wait_s": 2}}
    filled = apply_schema(FULL, config, plugin="p")
    assert filled == {"rate": 1, "tags": [], "retry": {"wait_s": 2, "count": 3}}
    assert config == {"rate": 1, "retry": {"wait_s": 2}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "rate: is required"),
        ({"rate": -1}, "rate: -1 is less than the minimum of 0"),
        ({"rate": 1, "tags": [1]}, "tags.0: got 1; expected string"),
        ({"rate": 1, "retry": {}}, "retry.wait_s: is required"),
        ({"rate": 1, "x": 1}, "x: unknown option. Known: rate, tags, retry."),
    ],
)
def test_a_json_schema_mistake_names_its_field(config, said):
    assert said in problems(FULL, config)


def test_default_lists_are_not_shared():
    one = apply_schema(FULL, {"rate": 1}, plugin="p")
    one["tags"].append("x")
    assert apply_schema(FULL, {"rate": 1}, plugin="p")["tags"] == []


@pytest.mark.parametrize(
    ("schema", "full"),
    [
        (SHORT, False),
        (FULL, True),
        ({}, False),
        ({"type": {"type": "string"}}, False),
        ({"properties": {"type": "object", "default": {}}}, False),
        ({"properties": {"a": {"type": "string"}}}, True),
        ({"type": "object"}, True),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, True),
    ],
)
def test_the_dialect_is_told_by_its_shape(schema, full):
    assert is_json_schema(schema) is full


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"a": {"type": "strng"}}, "wrong at 'a.type'.*Did you mean 'string'"),
        ({"a": 3}, "wrong at 'a'"),
        ({"type": "object", "properties": {"a": {"type": 3}}}, "wrong at"),
    ],
)
def test_a_wrong_schema_is_its_authors_to_mend(schema, said):
    with pytest.raises(PluginError, match=said):
        to_json_schema(schema, plugin="p")


def test_no_schema_accepts_anything():
    assert apply_schema(None, {"a": 1}, plugin="p") == {"a": 1}
