"""What a gateway's `config.json` may hold, as marshmallow schemas that load it.

Fields that nobody asks us for are passed over; what is null counts as not given.
References from one thing to another are merging.py's matter.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load

import values

MAXIMUM_INTEGER = 2**63 - 1
NOT_KEPT = "(not kept)"  # stands for a provider's secret that is no env.NAME

# Go's units and the gateway's own; a calendar unit stands alone.
_DURATION = re.compile(
    r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)"
    r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))*"
    r"|\d+[dwMY]",
    re.ASCII,
)


def duration_problem(text: object) -> str | None:
    """What is wrong with a reset duration, if anything is."""
    if not isinstance(text, str) or _DURATION.fullmatch(text) is None:
        return "is no duration; it takes Go's units (90s, 1h30m) or d, w, M, Y (1d)"
    if not any(digit in "123456789" for digit in text):
        return "must be above zero"
    return None


class Name(fields.String):
    """An id or a name: text that is not empty."""

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
    """An RFC 3339 time, turned into the text that gateways store."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        try:
            text = values.rfc3339(value)
        except (ValueError, TypeError):
            raise ValidationError("must be an RFC 3339 time") from None
        return text.replace("T", " ").replace("Z", "+00:00")


class Members(fields.Field):
    """A JSON object of any content."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        return value


class Names(fields.Field):
    """An array of texts."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        texts = isinstance(value, list) and all(isinstance(m, str) for m in value)
        if not texts:
            raise ValidationError("must be an array of texts")
        return list(value)


class Secret(fields.Field):
    """A provider's secret, as text or an EnvValue: only `env.NAME` is kept of it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return kept_secret(value)


class Secrets(Members):
    """Header names with a secret each."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        headers = super()._deserialize(value, *args, **kwargs)
        return {name: kept_secret(secret) or "" for name, secret in headers.items()}


class ConnectionString(fields.Field):
    """Kept with its credentials masked, as it is answered."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return values.mask_url(_env_text(value)) or None


def kept_secret(value: Any) -> str | None:
    """What of a secret is kept: the variable it comes from, or that there is one."""
    text = _env_text(value)
    if text.startswith("env.") or not text:
        return text or None
    return NOT_KEPT


def _env_text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("env_var") or value.get("value") or ""
    if not isinstance(value, str):
        raise ValidationError("must be text")
    return value


class KeyReferences(fields.Field):
    """Provider keys by name or id, as texts or as objects that have one of these."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        if not isinstance(value, list):
            raise ValidationError("must be an array")
        return [self._reference(member) for member in value]

    def _reference(self, member: Any) -> str:
        if isinstance(member, Mapping):
            member = member.get("key_id") or member.get("name")
        if not isinstance(member, str):
            raise ValidationError("must name keys by name or id")
        return member


class FileSchema(Schema):
    """What all parts of the file share."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def drop_null(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if value is not None}


class Timed(FileSchema):
    config_hash = Name()
    created_at = Time()
    updated_at = Time()


class BudgetFileSchema(Timed):
    id = NonEmpty(required=True)
    max_limit = Number(above=True, required=True)
    reset_duration = Duration(required=True)
    calendar_aligned = Flag()
    last_reset = Time()
    current_usage = Number()
    team_id = Name()
    customer_id = Name()
    virtual_key_id = Name()
    model_config_id = Name()


class RateLimitFileSchema(Timed):
    id = NonEmpty(required=True)
    token_max_limit = Number(above=True, whole=True)
    token_reset_duration = Duration()
    token_current_usage = Number(whole=True)
    token_last_reset = Time()
    request_max_limit = Number(above=True, whole=True)
    request_reset_duration = Duration()
    request_current_usage = Number(whole=True)
    request_last_reset = Time()


class OwnerFileSchema(Timed):
    id = NonEmpty(required=True)
    name = NonEmpty(required=True)
    budget_id = Name()
    budgets = fields.Nested(BudgetFileSchema, many=True)
    rate_limit_id = Name()
    calendar_aligned = Flag()


class CustomerFileSchema(OwnerFileSchema):
    pass


class TeamFileSchema(OwnerFileSchema):
    customer_id = Name()
    profile = Members()
    config = Members()
    claims = Members()


class ProviderConfigFileSchema(FileSchema):
    number = Number(whole=True, above=True)
    provider = NonEmpty(required=True)
    weight = Number()
    allowed_models = Names()
    blacklisted_models = Names()
    allow_all_keys = Flag()
    allowed_keys = KeyReferences()  # older gateways; none of them means all
    key_ids = KeyReferences()  # newer gateways; "*" means all
    keys = KeyReferences()
    budget_id = Name()
    budgets = fields.Nested(BudgetFileSchema, many=True)
    rate_limit_id = Name()


class McpConfigFileSchema(FileSchema):
    number = Number(whole=True, above=True)
    mcp_client_name = Name()
    mcp_client_id = fields.Raw()
    tools_to_execute = Names()


class VirtualKeyFileSchema(OwnerFileSchema):
    value = Name()
    description = Name()
    is_active = Flag()
    team_id = Name()
    customer_id = Name()
    created_by_user_id = Name()
    expires_at = Time()
    provider_configs = fields.Nested(ProviderConfigFileSchema, many=True)
    mcp_configs = fields.Nested(McpConfigFileSchema, many=True)


class AzureFileSchema(FileSchema):
    endpoint = Secret()
    client_id = Secret()
    client_secret = Secret()
    tenant_id = Secret()


class VertexFileSchema(FileSchema):
    project_id = Secret()
    project_number = Secret()
    region = Secret()
    auth_credentials = Secret()


class BedrockFileSchema(FileSchema):
    access_key = Secret()
    secret_key = Secret()
    session_token = Secret()
    region = Secret()
    arn = Secret()


class ProviderKeyFileSchema(Timed):
    number = Number(whole=True, above=True)
    name = NonEmpty(required=True)
    key_id = Name()
    id = Name()  # what the file calls the key_id
    value = Secret()
    models = Names()
    weight = Number()
    enabled = Flag()
    use_for_batch_api = Flag()
    azure_key_config = fields.Nested(AzureFileSchema)
    vertex_key_config = fields.Nested(VertexFileSchema)
    bedrock_key_config = fields.Nested(BedrockFileSchema)


class McpClientFileSchema(Timed):
    number = Number(whole=True, above=True)
    client_id = Name()
    name = NonEmpty(required=True)
    is_code_mode_client = Flag()
    connection_type = Name()
    connection_string = ConnectionString()
    stdio_config = Members()
    tls_config = Members()
    oauth_config_id = Name()
    headers = Secrets()
    tools_to_execute = Names()
    tools_to_auto_execute = Names()
    tool_pricing = Members()
    allow_on_all_virtual_keys = Flag()
    per_user_header_keys = Names()
    disabled = Flag()
