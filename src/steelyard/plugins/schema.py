"""Checks a plugin's configuration against its schema and fills in the defaults.

Two dialects: JSON Schema, and the short one `{field: {type, required, default}}`.
"""

import copy
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from steelyard.kernel.errors import ConfigError, PluginError, did_you_mean

_JSON_SCHEMA_MARKS = ("$schema", "properties", "allOf", "anyOf", "oneOf", "$ref")
_SHORT_TYPES: dict[str, str | None] = {
    "string": "string", "str": "string", "text": "string",
    "number": "number", "float": "number",
    "integer": "integer", "int": "integer",
    "boolean": "boolean", "bool": "boolean",
    "array": "array", "list": "array",
    "object": "object", "dict": "object", "mapping": "object",
    "any": None,
}  # fmt: skip


def is_json_schema(schema: Mapping[str, Any]) -> bool:
    """Tell whether `schema` is JSON Schema; otherwise it is the short dialect."""
    if isinstance(schema.get("type"), str):
        return True
    return any(mark in schema and not _is_short_field(schema[mark]) for mark in _JSON_SCHEMA_MARKS)


def _is_short_field(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def to_json_schema(
    schema: Mapping[str, Any], *, plugin: str, strict: bool = True
) -> dict[str, Any]:
    """Return `schema` as JSON Schema, whichever dialect it is written in.

    Args:
        schema: as the plugin declares it.
        plugin: named in errors.
        strict: fields that the short dialect doesn't declare are refused.

    Raises:
        PluginError: the schema itself is wrong; the message names the field.
    """
    full = dict(schema) if is_json_schema(schema) else _from_short(schema, plugin, strict=strict)
    try:
        Draft202012Validator.check_schema(full)
    except SchemaError as error:
        raise PluginError(
            f"The config schema of {plugin} is wrong at {error.json_path}: {error.message}",
            next_step="This is the plugin author's to mend.",
        ) from None
    return full


def _from_short(schema: Mapping[str, Any], plugin: str, *, strict: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field, given in schema.items():
        rule = {"type": given} if isinstance(given, str) else given
        if not isinstance(rule, Mapping):
            raise PluginError(
                f"The config schema of {plugin} is wrong at '{field}'",
                got=given,
                expected="a mapping with type, required and default",
            )
        type_name = rule.get("type", "any")
        if type_name not in _SHORT_TYPES:
            raise PluginError(
                f"The config schema of {plugin} is wrong at '{field}.type'",
                got=type_name,
                expected="one of " + ", ".join(_SHORT_TYPES),
                next_step=did_you_mean(str(type_name), _SHORT_TYPES) or None,
            )
        prop = {key: value for key, value in rule.items() if key not in ("type", "required")}
        json_type = _SHORT_TYPES[type_name]
        if json_type is not None:
            prop["type"] = json_type
        if "default" in rule and rule["default"] is None and json_type is not None:
            prop["type"] = [json_type, "null"]
        if rule.get("required"):
            required.append(field)
        properties[field] = prop
    full: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if strict:
        full["additionalProperties"] = False
    return full


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or not isinstance(properties, Mapping):
        return value
    filled = dict(value)
    for field, rule in properties.items():
        if not isinstance(rule, Mapping):
            continue
        if field in filled:
            filled[field] = _with_defaults(rule, filled[field])
        elif "default" in rule:
            filled[field] = copy.deepcopy(rule["default"])
    return filled


def _problem(error: ValidationError, known: Mapping[str, Any]) -> list[str]:
    field = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and not field:
        lines = []
        instance: Any = error.instance
        for key in instance:
            if key not in known:
                hint = did_you_mean(str(key), known) or f"Known: {', '.join(known) or 'none'}."
                lines.append(f"{key}: unknown option. {hint}")
        return lines or [error.message]
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return [f"{field + '.' if field else ''}{missing}: is required"]
    if error.validator == "type":
        wanted: Any = error.validator_value
        expected = wanted if isinstance(wanted, str) else " or ".join(wanted)
        return [f"{field or 'config'}: got {error.instance!r}; expected {expected}"]
    return [f"{field or 'config'}: {error.message}"]


def apply_schema(
    schema: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    *,
    plugin: str,
    strict: bool = True,
) -> dict[str, Any]:
    """Return `config` with the schema's defaults filled in.

    Args:
        schema: in either dialect; None accepts anything.
        config: what the user wrote.
        plugin: named in errors, such as `endpoint 'hello'`.
        strict: see `to_json_schema`.

    Raises:
        ConfigError: fields are wrong; `problems` has a line per field.
        PluginError: the schema itself is wrong.
    """
    if schema is None:
        return dict(config)
    full = to_json_schema(schema, plugin=plugin, strict=strict)
    filled: dict[str, Any] = _with_defaults(full, dict(config))
    errors = sorted(Draft202012Validator(full).iter_errors(filled), key=lambda e: e.json_path)
    if errors:
        known = full.get("properties", {})
        problems = [line for error in errors for line in _problem(error, known)]
        raise ConfigError(
            f"The configuration of {plugin} has {len(problems)} mistake"
            + ("s" if len(problems) > 1 else ""),
            problems,
        )
    return filled
