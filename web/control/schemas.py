"""What the control routes take in their bodies."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from web.control.preferences import LONGEST_SECONDS, is_failure

KINDS = ("status", "delay", "cut", "stale", "unavailable")
MOST_TIMES = 1_000_000
CENTURY = 100 * 366 * 86_400  # seconds


def _failure(value: int) -> None:
    if not is_failure(value):
        raise ValidationError("must be a status from 400 to 599 that has a name")


def _only_true(name: str) -> fields.Boolean:
    must = validate.Equal(True, error=f"{name} takes nothing but true")
    return fields.Boolean(truthy={True}, falsy={False}, validate=must)


class FaultBodySchema(Schema):
    """One fault: what is to go wrong, on which route, for how many requests."""

    status = fields.Integer(strict=True, validate=_failure)
    delay = fields.Float(
        validate=validate.Range(0, LONGEST_SECONDS, min_inclusive=False)
    )
    cut = _only_true("cut")
    stale = _only_true("stale")
    unavailable = _only_true("unavailable")
    route = fields.String(allow_none=True)
    times = fields.Integer(
        strict=True, allow_none=True, validate=validate.Range(1, MOST_TIMES)
    )

    @validates_schema
    def has_one_kind(self, data: dict[str, Any], **_: Any) -> None:
        if sum(kind in data for kind in KINDS) != 1:
            raise ValidationError(f"takes exactly one of {', '.join(KINDS)}", "fault")


class _Expiring(Schema):
    # What has expired already is something to test with, too.
    expires_in = fields.Integer(
        strict=True, allow_none=True, validate=validate.Range(-CENTURY, CENTURY)
    )


class ApiKeyBodySchema(_Expiring):
    """A management API key's name, and seconds until it expires, if it does."""

    name = fields.String(
        validate=[
            validate.Length(1, 200),
            validate.Regexp(r"(?s).*\S", error="must not be blank"),
        ]
    )


class TokenBodySchema(_Expiring):
    """The virtual key that a JWT is for, if it is no admin's."""

    virtual_key_id = fields.String(allow_none=True, validate=validate.Length(1, 500))
