"""Load one thing of a file by its schema; name what is wrong with it, and where."""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from fields import Confidential
from transfer.batch import Batch
from transfer.config_schemas import FileSchema, known, loader, nullable


def named(
    batch: Batch, schema: type[FileSchema], member: Mapping[str, Any], place: str
) -> dict[str, Any]:
    """Return a thing's members by the names that gateways know, nulls left out.

    Case does not matter in names, as it does not to gateways. What nobody knows is
    noted.
    """
    names = known(schema)
    found = dict(member)
    for name in member.keys() - names:
        value = found.pop(name)
        if (lower := name.lower()) in names:
            found.setdefault(lower, value)
        else:
            batch.pass_over(schema.__name__, name, place, names)
    if None in found.values():
        keeps = nullable(schema)
        found = {n: v for n, v in found.items() if v is not None or n in keeps}
    return found


def load_member(
    batch: Batch, schema: type[FileSchema], member: Any, place: str
) -> dict[str, Any]:
    """Return one thing of a file, loaded; what is wrong goes to the batch's problems.

    Of a record that breaks a rule what can be stored is taken, with a note.
    """
    try:
        return dict(loader(schema).load(member))
    except ValidationError as invalid:
        valid = invalid.valid_data if isinstance(invalid.valid_data, dict) else {}
        messages: dict[str, Any] = {
            str(name): each for name, each in invalid.messages_dict.items()
        }
        if batch.record and isinstance(member, Mapping):
            _take_as_it_is(batch, schema, member, valid, messages, place)
        batch.problems += _problems(messages, place)
        return dict(valid)


def _take_as_it_is(
    batch: Batch,
    schema: type[FileSchema],
    member: Mapping[str, Any],
    valid: dict[str, Any],
    messages: dict[str, Any],
    place: str,
) -> None:
    """Take what breaks a rule but can be stored out of the messages, with a note."""
    for name in [name for name in messages if name != "id" and name in member]:
        field: Any = loader(schema).fields.get(name)
        if isinstance(field, Confidential):
            messages.pop(name)  # whatever it is, it is not kept
        elif isinstance(member[name], str | int | float):
            batch.notes += _problems({name: messages.pop(name)}, place)
            valid[field.attribute or name] = field.as_given(member[name])
    for name in [name for name in messages if name not in ("id", "_schema")]:
        if member.get(name) is None:
            batch.notes += _problems({name: messages.pop(name)}, place)


def _problems(messages: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield marshmallow's messages as lines that begin with their place."""
    for name, texts in messages.items():
        where = place if name == "_schema" else f"{place}.{name}"
        for text in texts:
            yield f"{where}: {_WORDS.get(text, text)}"


_WORDS = {
    "Missing data for required field.": "is missing",
    "Invalid input type.": "must be an object",
}
