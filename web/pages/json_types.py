"""The types of the schemas' fields in JSON Schema, for the OpenAPI document."""

from collections.abc import Callable
from typing import Any

from marshmallow import Schema
from marshmallow.fields import Field

import fields
import schemas
from models import MODELS

Properties = dict[str, Any]

ENV_VALUE = {"$ref": "#/components/schemas/EnvValue"}
STRINGS = {"type": "array", "items": {"type": "string"}}
TIME = {"type": "string", "format": "date-time"}
WHOLE = {"type": "integer", "format": "int64"}
# A parameter given empty counts as not given.
EMPTY = {"type": "string", "const": ""}
# Where the documents cut the circle of customers, teams and keys.
CUT = {"type": "object", "maxProperties": 0}

_INTEGER_COLUMNS = {
    (model._meta.table_name, column.name)
    for model in MODELS
    for column in model._meta.sorted_fields
    if column.field_type == "INTEGER"
}


def properties(converter: Any, field: Field, ret: Properties) -> Properties:
    """Return what a field's value is; an attribute function of apispec."""
    made = next((make(field) for kind, make in _TYPES if isinstance(field, kind)), {})
    if isinstance(field, fields.JsonShape):
        made = _shape(converter, field)
    if getattr(field, "unset", "") is None and "type" in made:
        return made | {"type": [made["type"], "null"]}
    return made


def required(schema: Schema) -> list[str]:
    """Return the names of the fields that are never left out."""
    return [name for name, field in schema.fields.items() if _is_always_there(field)]


def _is_always_there(field: Field) -> bool:
    if isinstance(field, fields.Related):
        # Lists are never left out, but those of model budgets, which few have.
        return bool(field.many) and field.name != "model_budgets"
    return getattr(field, "unset", None) is not fields.LEFT_OUT


def _number(field: Field) -> Properties:
    table = getattr(field.parent, "table", "")
    column = (table, field.attribute or field.name)
    counted = str(field.name).endswith("_count")
    return WHOLE if counted or column in _INTEGER_COLUMNS else {"type": "number"}


def _shape(converter: Any, field: fields.JsonShape) -> Properties:
    members = {
        name: converter.field2property(member) for name, member in field.members.items()
    }
    return {"type": "object", "properties": members, "required": list(members)}


_TYPES: tuple[tuple[type, Callable[[Any], Properties]], ...] = (
    (fields.TextList, lambda _: STRINGS),
    (fields.Arguments, lambda _: STRINGS),
    (fields.Headers, lambda _: {"type": "object", "additionalProperties": ENV_VALUE}),
    (fields.JsonText, lambda _: {"type": "object"}),
    (fields.Text, lambda _: {"type": "string"}),
    (fields.Number, _number),
    (fields.Flag, lambda _: {"type": "boolean"}),
    (fields.Timestamp, lambda _: TIME),
    (fields.EnvValue, lambda _: ENV_VALUE),
    (
        schemas.TrueOrFalse,
        lambda _: {
            "anyOf": [{"type": "boolean"}, {"type": "integer", "enum": [0, 1]}, EMPTY]
        },
    ),
    (
        schemas.WholeNumber,
        lambda _: {"anyOf": [{"type": "integer", "minimum": 0}, EMPTY]},
    ),
)
