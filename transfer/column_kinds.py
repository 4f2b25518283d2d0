"""How each column of the tables reads, and what it may hold."""

from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, fields

import schemas
import values
from models import Model, VirtualKey
from transfer import config_fields as file_fields
from transfer import config_schemas as file_schemas

Read = Callable[[Any], Any]


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError("is not text")


READERS: dict[str, Read] = {
    "REAL": values.number,
    "INTEGER": values.number,
    "NUMERIC": values.flag,
    "DATETIME": values.rfc3339,
}


@cache
def readers(model: Model) -> dict[str, Read]:
    """Return what reads a model's columns, but plain text; each raises ValueError."""
    found = {
        column.name: READERS[column.field_type]
        for column in model._meta.sorted_fields
        if column.field_type in READERS
    }
    for name, field in _fields(schemas, f"{model.__name__}Schema").items():
        if isinstance(field, schemas.JsonText):
            found[field.attribute or name] = field.read
    for column in model._meta.sorted_fields:
        if column.name.endswith("_json"):  # what no answer shows
            found.setdefault(column.name, schemas.TextList().read)
    return found


def _fields(module: Any, name: str) -> dict[str, fields.Field]:
    """Return the fields of a model's schema, which is named after the model, if any."""
    schema: type[Schema] = getattr(module, name, Schema)
    return schema().fields


def rule(model: Model, column: str) -> tuple[Read, str]:
    """Return what reads a column, or raises; and what to say where it is unset."""
    read = readers(model).get(column, _text)
    stated = _fields(file_schemas, f"{model.__name__}FileSchema").get(column)
    if isinstance(stated, file_fields.Number | file_fields.Duration):
        read = stated.deserialize  # knows more: what is whole, what is above zero
    needed = (stated and stated.required) or column in ("name", "value")
    if column == "value" and model is not VirtualKey:
        needed = False
    return read, "is missing" if needed else ""


def problem_of(read: Read, value: Any) -> str:
    """Return what is wrong with a value; empty where nothing is."""
    try:
        read(value)
    except ValidationError as wrong:
        return str(wrong.messages[0])
    except orjson.JSONDecodeError:
        return "is not JSON"  # its own words could quote what is stored
    except (ValueError, RecursionError) as wrong:
        return str(wrong)
    except TypeError:
        return "is not text"  # as every time and all JSON is
    return ""
