"""How single values of files read, as marshmallow fields; each says what is wrong."""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

import values

MAXIMUM_INTEGER = 2**63 - 1
NOT_KEPT = "(not kept)"  # stands for a provider's secret that is read from nowhere
VALUE_PREFIX = "sk-bf-"  # what every virtual key's value begins with

# As gateways parse them: Go's units, or a calendar unit after them, or a word.
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_UNITS = rf"(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))"
_DURATION = re.compile(
    rf"\+?(?:{_UNITS}+|{_UNITS}*{_NUMBER}[dwMQY])|(?i:daily|weekly|monthly|yearly)",
    re.ASCII,
)
_GATEWAYS_MASK = "*" * 24
_REDACTED = ("<redacted>", "[redacted]")


def duration_problem(text: object) -> str | None:
    """Return what is wrong with a reset duration, if anything is."""
    if not isinstance(text, str) or _DURATION.fullmatch(text) is None:
        return (
            "is no duration; it takes Go's units (90s, 1h30m), d, w, M, Q, Y (1d), or"
            " daily, weekly, monthly, yearly"
        )
    if text[0] in "+.0123456789" and not any(digit in "123456789" for digit in text):
        return "must be above zero"
    return None


def value_hash(value: str) -> str:
    """Return what gateways find a virtual key by: the SHA-256 of its value."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def is_masked(text: object) -> bool:
    """Return whether a text is only what a gateway shows in place of a secret."""
    return isinstance(text, str) and (
        _GATEWAYS_MASK in text or set(text) == {"*"} or text.lower() in _REDACTED
    )


def reference(secret: Any) -> str:
    """Return where a secret is read from, "env.NAME" or "vault.PATH"; "" if nowhere."""
    if found := values.reference(secret):
        return found
    if isinstance(secret, Mapping) and secret.get("from_env"):
        name = secret.get("env_var")
        return f"env.{name}" if isinstance(name, str) and name else ""
    return ""


def secret_text(secret: Any) -> str:
    """Return the text of a secret, be it in an object; raises ValidationError."""
    text = secret.get("value") or "" if isinstance(secret, Mapping) else secret
    if not isinstance(text, str):
        raise ValidationError("must be text")
    return text


def kept_secret(secret: Any) -> str | None:
    """Return what of a secret is kept: where it is read from, or that there is one."""
    return reference(secret) or (NOT_KEPT if secret_text(secret) else None)


def _is_resolved(secret: Any) -> bool:
    """Return whether what a secret says was read from somewhere that it leaves out."""
    return isinstance(secret, Mapping) and bool(
        secret.get("from_env") or secret.get("type") in ("env", "vault")
    )


class Name(fields.Field):
    """Text, such as an id or a name."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be text")
        return value


class NonEmpty(Name):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if value == "":
            raise ValidationError("is empty")
        return super()._deserialize(value, *args, **kwargs)


class Number(fields.Field):
    """A number, kept exactly as it is; not below zero unless `above` says more."""

    def __init__(self, *, above: bool = False, whole: bool = False, **kw: Any) -> None:
        self.above = above
        self.whole = whole
        super().__init__(**kw)

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


class Flag(fields.Field):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Duration(fields.Field):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if problem := duration_problem(value):
            raise ValidationError(problem)
        return str(value)


class Time(fields.Field):
    """A time in any form that gateways store, turned into their usual one."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be an RFC 3339 time")
        try:
            text = values.rfc3339(value)
        except ValueError:
            raise ValidationError("must be an RFC 3339 time") from None
        return text.replace("T", " ").replace("Z", "+00:00")


class Members(fields.Field):
    """A JSON object of any content."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        try:
            values.whole_numbers(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None
        return value


class Names(fields.Field):
    """An array of texts."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        texts = isinstance(value, list) and all(isinstance(m, str) for m in value)
        if not texts:
            raise ValidationError("must be an array of texts")
        return list(value)


class Confidential:
    """What marks fields that may hold a secret: nothing is taken from them as it is."""


class Secret(Confidential, fields.Field):
    """A provider's secret: only where it is read from is kept."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return kept_secret(value)


class Secrets(Confidential, Members):
    """Header names with a secret each."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        headers = super()._deserialize(value, *args, **kwargs)
        return {name: kept_secret(secret) or "" for name, secret in headers.items()}


class ConnectionString(Confidential, fields.Field):
    """A URL, kept with its credentials masked, as it is answered."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        if found := reference(value):
            return found
        text = secret_text(value)
        if not text or is_masked(text):
            return None
        return NOT_KEPT if _is_resolved(value) else values.mask_url(text)


class Command(Confidential, Name):
    """A program to start, kept as it is answered."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return values.mask_command(super()._deserialize(value, *args, **kwargs))


class Arguments(Confidential, Names):
    """A program's arguments, kept with what could be a credential masked."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        return values.mask_arguments(super()._deserialize(value, *args, **kwargs))


class Variables(Confidential, Names):
    """Environment variables, kept without their values."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        return values.mask_variables(super()._deserialize(value, *args, **kwargs))


class Certificate(Confidential, fields.Field):
    """A PEM text, or where it is read from."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        if found := reference(value):
            return found
        if _is_resolved(value):
            return NOT_KEPT
        return values.mask_certificate(secret_text(value)) or None
