"""The schemas' fields: single values, out of rows and into them.

A field dumps what a column stores as an answer, or an exported file, shows it; and it
loads what a file says as the column stores it. Each names what is wrong with a value.
What values mean, without rows and schemas, is in values.py.
"""

import logging
import math
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, missing
from marshmallow.fields import Field, Nested

import values

log = logging.getLogger("governance")

MAXIMUM_INTEGER = 2**63 - 1
LEFT_OUT = missing  # what a field dumps when its key is to be left out
NOT_KEPT = "(not kept)"  # stands for a provider's secret that is read from nowhere
DEFAULT: Any = object()  # as `unset`: what the kind of field has


@cache
def report_broken(table: str, row_id: object, column: str, problem: str) -> None:
    """Log a broken value, once for the life of the process."""
    log.warning("%s, row %r: %s %s", table, row_id, column, problem)


class StoredField(Field):
    """One stored value. `unset` is dumped for NULL, and for what cannot be read.

    Without one, that is what the kind of field has for answers, or for files. `help` is
    what the OpenAPI document says of it.
    """

    in_answers: Any = None
    in_files: Any = LEFT_OUT

    def __init__(self, unset: Any = DEFAULT, *, help: str = "", **kwargs: Any) -> None:
        self.unset_by_kind = unset is DEFAULT
        self.unset = self.in_answers if self.unset_by_kind else unset
        super().__init__(metadata={"description": help}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if value is None or value == "":
            return self.unset
        try:
            return self.read(value)
        except (ValueError, TypeError, RecursionError) as problem:
            # A JSON parser's own words could quote what is stored.
            words = "is not JSON" if isinstance(problem, orjson.JSONDecodeError) else ""
            self.report(obj, attr or "?", words or str(problem))
            return self.unset

    def report(self, obj: Any, column: str, problem: str) -> None:
        """Log what is wrong with a column of the row that is being dumped, if the
        schema names a table. (Of what files leave out, `flask check` says why.)
        """
        if table := getattr(self.parent, "table", ""):
            report_broken(table, attribute(obj, "id"), column, problem)

    def read(self, value: Any) -> Any:
        """Return a stored value as it is shown; raises ValueError and TypeError."""
        raise NotImplementedError

    def check(self, value: Any) -> None:
        """Raise ValueError, TypeError or ValidationError unless a stored value is one
        that the field may have.
        """
        self.read(value)

    def as_given(self, value: Any) -> Any:
        """Return what is stored of a file's value that breaks the field's rules."""
        return value


def attribute(obj: Any, name: str) -> Any:
    """Return what an object has by a name, None where it has nothing."""
    if type(obj) is dict:  # nearly always, and found out faster than a Mapping
        return obj.get(name)
    return obj.get(name) if isinstance(obj, Mapping) else getattr(obj, name, None)


class Text(StoredField):
    kind = str
    in_answers: Any = ""

    def read(self, value: Any) -> Any:
        return values.text(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("must be text")
        return value

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValueError("is not text")


class NonEmpty(Text):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if value == "":
            raise ValidationError("is empty")
        return super()._deserialize(value, *args, **kwargs)


class Duration(Text):
    """The time for which a limit counts until it is reset, such as 1d."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if problem := values.duration_problem(value):
            raise ValidationError(problem)
        return str(value)

    def check(self, value: Any) -> None:
        self.deserialize(value)


class Filled(Text):
    """Text that is not its row's alone: another row's, or different for some callers.

    It is given beside the row, as relations are; JSON stays as it is.
    """

    def read(self, value: Any) -> Any:
        return value if isinstance(value, orjson.Fragment) else values.text(value)


class Number(StoredField):
    """A number, kept exactly as it is. In files not below zero, unless `above` says
    more; `whole` where it may have no fraction.
    """

    in_answers = 0

    def __init__(
        self,
        unset: Any = DEFAULT,
        *,
        above: bool = False,
        whole: bool = False,
        **kw: Any,
    ) -> None:
        self.above = above
        self.whole = whole
        super().__init__(unset, **kw)

    read = staticmethod(values.number)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int | float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise ValidationError("must be a number")
        amount = values.number(value)
        if self.whole and not isinstance(amount, int):
            raise ValidationError("must be a whole number")
        if isinstance(amount, int) and amount > MAXIMUM_INTEGER:
            raise ValidationError("is too large")
        if amount < 0 or (self.above and amount == 0):
            raise ValidationError(
                "must be above zero" if self.above else "must not be below zero"
            )
        return amount

    def check(self, value: Any) -> None:
        self.deserialize(value)


class Flag(StoredField):
    kind = bool
    in_answers = False

    read = staticmethod(values.flag)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Timestamp(StoredField):
    """A time, in files in any form that gateways store; stored in their usual one."""

    in_answers: Any = values.ZERO_TIME
    in_files: Any = values.ZERO_TIME

    read = staticmethod(values.rfc3339)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be an RFC 3339 time")
        try:
            text = values.rfc3339(value)
        except ValueError:
            raise ValidationError("must be an RFC 3339 time") from None
        return text.replace("T", " ").replace("Z", "+00:00")


class Expiry(Timestamp):
    """The time at which something ends; never, where it is unset or Go's zero time."""

    in_answers = LEFT_OUT
    in_files = LEFT_OUT

    def read(self, value: Any) -> Any:  # type: ignore[override]
        time = values.rfc3339(value)
        return LEFT_OUT if time == values.ZERO_TIME else time


class JsonText(StoredField):
    """A column of JSON text of one kind: `list` or `dict`."""

    def __init__(self, kind: type, unset: Any = DEFAULT, **kwargs: Any) -> None:
        self.kind = kind
        self.null: Any = kind()  # what null reads as
        super().__init__(unset, **kwargs)
        if self.unset is None:
            self.unset = kind()

    def read(self, value: Any) -> Any:
        parsed = orjson.loads(value)
        if parsed is None:
            return self.null
        if not isinstance(parsed, self.kind):
            raise ValueError(f"is not a JSON {_JSON_NAMES[self.kind]}")
        return values.whole_numbers(parsed)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        try:
            values.whole_numbers(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None
        return values.json_text(self.kept(value))

    def kept(self, value: Any) -> Any:
        """Return what of a file's value is stored."""
        return value

    def as_given(self, value: Any) -> str:
        return values.json_text(value)


_JSON_NAMES: dict[type, str] = {list: "array", dict: "object"}


class TextList(JsonText):
    """A column of JSON text: an array of texts."""

    def __init__(self, unset: Any = DEFAULT, **kwargs: Any) -> None:
        super().__init__(list, unset, **kwargs)
        # The same few lists of models and tools stand in most rows.
        self._parsed = lru_cache(1024)(self._parse)

    def read(self, value: Any) -> Any:
        return self._parsed(value)

    def _parse(self, value: Any) -> Any:
        parsed = super().read(value)
        if not all(isinstance(member, str) for member in parsed):
            raise ValueError("is not a JSON array of texts")
        return parsed

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return values.json_text(texts(value))


def texts(value: Any) -> list[str]:
    """Return a file's array of texts; raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(m, str) for m in value):
        raise ValidationError("must be an array of texts")
    return list(value)


class JsonShape(JsonText):
    """A column of JSON text: an object, of which a schema's fields are shown.

    All of them are if it is `whole`, otherwise those that say something.
    """

    in_answers = LEFT_OUT

    def __init__(
        self, schema: type[Schema], *, whole: bool = True, **kwargs: Any
    ) -> None:
        self.members: Mapping[str, Any] = schema().fields
        self.whole = whole
        super().__init__(dict, **kwargs)
        self.null = LEFT_OUT

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        stored = super()._serialize(value, attr, obj, **kwargs)
        if stored is LEFT_OUT:
            return LEFT_OUT
        shown = {}
        for name, field in self.members.items():
            member = values.secret_text(stored.get(name))
            if member is not None and not _is_of(field.kind, member):
                self.report(obj, f"{attr}.{name}", "is of another kind than documented")
                member = None
            shown[name] = field.kind() if member is None else field.read(member)
        return {name: each for name, each in shown.items() if each or self.whole}


def _is_of(kind: type, member: Any) -> bool:
    """True if a member of a JSON object is of a kind; an array, if it is of texts."""
    if isinstance(member, list):
        return kind is list and all(isinstance(each, str) for each in member)
    return type(member) is kind


class Related(Nested):
    """Other entities within one.

    Nothing there is left out; an empty object stays one: that is where the documents
    cut the circle of customers and teams.
    """

    unset = LEFT_OUT

    def __init__(self, nested: Any, *, help: str = "", **kwargs: Any) -> None:
        super().__init__(nested, metadata={"description": help}, **kwargs)

    def _serialize(  # type: ignore[override]
        self, nested_obj: Any, attr: Any, obj: Any, **kwargs: Any
    ) -> Any:
        if nested_obj is None:
            return LEFT_OUT
        if nested_obj == {}:
            return {}
        return super()._serialize(nested_obj, attr, obj, **kwargs)


# Fields that may hold a secret. Of a provider's secret, and of headers, only where each
# is read from is kept and shown; of the rest what cannot be a credential.


def is_masked(text: object) -> bool:
    """Return whether a text is only what a gateway shows in place of a secret."""
    return isinstance(text, str) and (
        _GATEWAYS_MASK in text or set(text) == {"*"} or text.lower() in _REDACTED
    )


_GATEWAYS_MASK = "*" * 24
_REDACTED = ("<redacted>", "[redacted]")


def source_of(secret: Any) -> str:
    """Return where a secret is read from, "env.NAME" or "vault.PATH"; "" if nowhere."""
    if found := values.reference(secret):
        return found
    if isinstance(secret, Mapping) and secret.get("from_env"):
        name = secret.get("env_var")
        return f"env.{name}" if isinstance(name, str) and name else ""
    return ""


def text_of(secret: Any) -> str:
    """Return the text of a secret, be it in an object; raises ValidationError."""
    text = secret.get("value") or "" if isinstance(secret, Mapping) else secret
    if not isinstance(text, str):
        raise ValidationError("must be text")
    return text


def kept_secret(secret: Any) -> str | None:
    """Return what of a secret is kept: where it is read from, or that there is one."""
    return source_of(secret) or (NOT_KEPT if text_of(secret) else None)


def _is_resolved(secret: Any) -> bool:
    """Return whether what a secret says was read from somewhere that it leaves out."""
    return isinstance(secret, Mapping) and bool(
        secret.get("from_env") or secret.get("type") in ("env", "vault")
    )


class Confidential:
    """A mark of fields that may hold a secret: nothing is taken from them as it is."""


class Secret(Confidential, StoredField):
    """A provider's secret, in files: only where it is read from."""

    def read(self, value: Any) -> Any:
        return kept_secret(values.text(value))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return kept_secret(value)

    check = Text.check


class EnvValue(Secret):
    """A provider's secret, in answers: an object of where it is read from."""

    in_answers = LEFT_OUT

    read = staticmethod(values.env_value)


class SecretHeaders(Confidential, JsonText):
    """Header names, in files each with where its value is read from."""

    in_files: Any = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dict, **kwargs)

    def read(self, value: Any) -> dict[str, Any]:
        return {
            name: self.shown(secret) for name, secret in super().read(value).items()
        }

    def shown(self, secret: Any) -> Any:
        return values.reference(secret) or NOT_KEPT

    def kept(self, value: Any) -> dict[str, Any]:
        return {name: kept_secret(secret) or "" for name, secret in value.items()}


class Headers(SecretHeaders):
    """Header names with an EnvValue each; newer gateways store objects for these."""

    def shown(self, secret: Any) -> Any:
        return values.env_value(secret)


class ConnectionString(Confidential, Text):
    """A URL, with its credentials masked."""

    in_answers = LEFT_OUT

    def read(self, value: Any) -> Any:
        return values.mask_url(values.text(values.secret_text(value)))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        if found := source_of(value):
            return found
        text = text_of(value)
        if not text or is_masked(text):
            return None
        return NOT_KEPT if _is_resolved(value) else values.mask_url(text)


class Command(Confidential, Text):
    """A program to start, should it hold arguments, too, without credentials."""

    def read(self, value: Any) -> Any:
        return values.mask_command(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return self.read(super()._deserialize(value, *args, **kwargs))


class Arguments(Confidential, Field):
    """A program's arguments, with what could be a credential masked."""

    kind = list

    def read(self, value: list[str]) -> list[str]:
        return values.mask_arguments(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        return self.read(texts(value))


class Variables(Arguments):
    """Environment variables, without their values."""

    def read(self, value: list[str]) -> list[str]:
        return values.mask_variables(value)


class Certificate(Confidential, Text):
    """A PEM text, or where it is read from; not a private key that stands in it."""

    def read(self, value: Any) -> Any:
        return values.mask_certificate(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        if found := source_of(value):
            return found
        if _is_resolved(value):
            return NOT_KEPT
        return values.mask_certificate(text_of(value)) or None
