"""The shape of every answer: one marshmallow schema per noun, keys in document order.

Also the query and the error body. A schema dumps anything with the models' attributes
(a row, a dict, a peewee object).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast

from marshmallow import EXCLUDE, Schema, ValidationError, post_load, pre_load
from marshmallow import fields as mm

import values
from fields import (
    LEFT_OUT,
    MAXIMUM_INTEGER,
    Arguments,
    Certificate,
    Command,
    ConnectionString,
    Duration,
    EnvValue,
    Expiry,
    Filled,
    Flag,
    Headers,
    JsonShape,
    JsonText,
    NonEmpty,
    Number,
    Related,
    StoredField,
    Text,
    TextList,
    Timestamp,
    Variables,
    attribute,
)

DEFAULT_LIMIT = 25  # as the real gateway's
MAXIMUM_LIMIT = 100
# Fields that dump values of a type as they are stored: most values there are.
AS_STORED: dict[type, type] = {
    **dict.fromkeys((Text, NonEmpty, Duration, Filled), str),
    Number: int,
}


class RowSchema(Schema):
    """What the schemas of rows share: how they are read."""

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return what the object has by that name, None where it has nothing."""
        return attribute(obj, attr)

    def dump_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what `dump` returns for one dict, whose relations are dumped already.

        In a third of the time: without hooks, nor a call for what is dumped as stored.
        """
        dumped = {}
        for name, column, unset, as_stored, serialize in self._members:
            value = row.get(column)
            if value is None or value == "":
                value = unset
            elif type(value) is not as_stored:
                value = serialize(value, column, row)
            if value is not LEFT_OUT:
                dumped[name] = value
        return dumped

    @cached_property
    def _members(self) -> list[tuple[str, str, Any, type | None, Any]]:
        return [
            (
                name,
                field.attribute or name,
                cast(StoredField | Related, field).unset,
                AS_STORED.get(type(field)),
                _as_it_is if isinstance(field, Related) else field._serialize,
            )
            for name, field in self.dump_fields.items()
        ]


def _as_it_is(value: Any, column: str, row: dict[str, Any]) -> Any:
    return value


class EntitySchema(RowSchema):
    """What entities share: their table, by which broken values are reported."""

    table: ClassVar[str]


class BudgetSchema(EntitySchema):
    table = "governance_budgets"

    id = Text()
    max_limit = Number()
    reset_duration = Text()
    calendar_aligned = Flag()
    last_reset = Timestamp()
    current_usage = Number()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()
    team_id = Text(LEFT_OUT)
    virtual_key_id = Text(LEFT_OUT)
    provider_config_id = Number(LEFT_OUT)
    customer_id = Text(LEFT_OUT)


class RateLimitSchema(EntitySchema):
    table = "governance_rate_limits"

    id = Text()
    token_max_limit = Number(LEFT_OUT)
    token_reset_duration = Text(LEFT_OUT)
    token_current_usage = Number()
    token_last_reset = Timestamp()
    request_max_limit = Number(LEFT_OUT)
    request_reset_duration = Text(LEFT_OUT)
    request_current_usage = Number()
    request_last_reset = Timestamp()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class ProviderKeySchema(EntitySchema):
    table = "config_keys"

    id = Number()
    name = Text()
    provider_id = Number()
    provider = Text()
    key_id = Text()
    value = EnvValue(values.env_value(None))
    models = TextList(attribute="models_json")
    weight = Number(None)
    enabled = Flag(True)
    use_for_batch_api = Flag()
    created_at = Timestamp()
    updated_at = Timestamp()
    config_hash = Text()
    azure_endpoint = EnvValue()
    azure_client_id = EnvValue()
    azure_client_secret = EnvValue()
    azure_tenant_id = EnvValue()
    vertex_project_id = EnvValue()
    vertex_project_number = EnvValue()
    vertex_region = EnvValue()
    vertex_auth_credentials = EnvValue()
    bedrock_access_key = EnvValue()
    bedrock_secret_key = EnvValue()
    bedrock_session_token = EnvValue()
    bedrock_region = EnvValue()
    bedrock_arn = EnvValue()


class ModelBudgetSchema(EntitySchema):
    table = "governance_model_configs"

    model_name = Text()
    budgets = Related(BudgetSchema, many=True)
    rate_limit = Related(RateLimitSchema)


class ProviderConfigSchema(EntitySchema):
    table = "governance_virtual_key_provider_configs"

    id = Number()
    virtual_key_id = Text()
    provider = Text()
    weight = Number(None)
    allowed_models = TextList()
    blacklisted_models = TextList()
    allow_all_keys = Flag()
    rate_limit_id = Text(LEFT_OUT)
    budgets = Related(BudgetSchema, many=True)
    rate_limit = Related(RateLimitSchema)
    keys = Related(ProviderKeySchema, many=True)
    model_budgets = Related(ModelBudgetSchema, many=True)


class StdioConfigSchema(Schema):
    command = Command()
    args = Arguments()
    envs = Variables()


class TlsConfigSchema(Schema):
    insecure_skip_verify = Flag()
    ca_cert_pem = Certificate()


class McpClientSchema(EntitySchema):
    table = "config_mcp_clients"

    client_id = Text()
    name = Text()
    is_code_mode_client = Flag()
    connection_string = ConnectionString()
    stdio_config = JsonShape(StdioConfigSchema, attribute="stdio_config_json")
    tls_config = JsonShape(TlsConfigSchema, attribute="tls_config_json")
    oauth_config_id = Text(LEFT_OUT)
    headers = Headers(attribute="headers_json")
    tools_to_execute = TextList(attribute="tools_to_execute_json")
    tools_to_auto_execute = TextList(attribute="tools_to_auto_execute_json")
    tool_pricing = JsonText(dict, attribute="tool_pricing_json")
    allow_on_all_virtual_keys = Flag()
    per_user_header_keys = TextList(attribute="per_user_header_keys_json")
    disabled = Flag()


class McpConfigSchema(EntitySchema):
    table = "governance_virtual_key_mcp_configs"

    id = Number()
    virtual_key_id = Text()
    mcp_client_id = Number()
    mcp_client_name = Filled()
    mcp_client = Related(McpClientSchema)
    tools_to_execute = TextList()


class VirtualKeySchema(EntitySchema):
    table = "governance_virtual_keys"

    id = Text()
    name = Text()
    value = Filled()
    description = Text()
    is_active = Flag(True)
    provider_configs = Related(ProviderConfigSchema, many=True)
    mcp_configs = Related(McpConfigSchema, many=True)
    calendar_aligned = Flag()
    team_id = Text(LEFT_OUT)
    customer_id = Text(LEFT_OUT)
    rate_limit_id = Text(LEFT_OUT)
    team = Related(lambda: TeamSchema())
    customer = Related(lambda: CustomerSchema())
    budgets = Related(BudgetSchema, many=True)
    rate_limit = Related(RateLimitSchema)
    created_by_user_id = Text(LEFT_OUT)
    model_budgets = Related(ModelBudgetSchema, many=True)
    expires_at = Expiry()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class TeamSchema(EntitySchema):
    table = "governance_teams"

    id = Text()
    name = Text()
    customer_id = Text(LEFT_OUT)
    budget_id = Text(LEFT_OUT)
    rate_limit_id = Text(LEFT_OUT)
    customer = Related(lambda: CustomerSchema())
    budget = Related(BudgetSchema)
    budgets = Related(BudgetSchema, many=True)
    rate_limit = Related(RateLimitSchema)
    virtual_keys = Related(VirtualKeySchema, many=True)
    calendar_aligned = Flag()
    virtual_key_count = Number()
    profile = JsonText(dict)
    config = JsonText(dict)
    claims = JsonText(dict)
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class CustomerSchema(EntitySchema):
    table = "governance_customers"

    id = Text()
    name = Text()
    budget_id = Text(LEFT_OUT)
    rate_limit_id = Text(LEFT_OUT)
    budget = Related(BudgetSchema)
    budgets = Related(BudgetSchema, many=True)
    rate_limit = Related(RateLimitSchema)
    calendar_aligned = Flag()
    virtual_key_count = Number()
    teams = Related(TeamSchema, many=True)
    virtual_keys = Related(VirtualKeySchema, many=True)
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class TeamsAnswerSchema(Schema):
    teams = Related(TeamSchema, many=True)
    count = mm.Integer()
    total_count = mm.Integer()
    limit = mm.Integer()
    offset = mm.Integer()


class CustomersAnswerSchema(Schema):
    customers = Related(CustomerSchema, many=True)
    count = mm.Integer()
    total_count = mm.Integer()
    limit = mm.Integer()
    offset = mm.Integer()


@dataclass(frozen=True)
class Query:
    """What a request asks of a list. `paged` when it used a paging parameter."""

    customer_id: str = ""
    from_memory: bool = field(default=False, compare=False)  # the answer is the same
    search: str = ""
    paged: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0


class TrueOrFalse(mm.Field):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        except KeyError:
            raise ValidationError("takes true, false, 1 or 0") from None


class WholeNumber(mm.Field):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if re.fullmatch("[0-9]+", value, re.ASCII) is None:
            raise ValidationError("takes a whole number, zero or more")
        digits = value.lstrip("0")
        if len(digits) > 19:  # int() refuses texts of thousands of digits
            return MAXIMUM_INTEGER
        return min(int(digits or "0"), MAXIMUM_INTEGER)


class CustomersQuerySchema(Schema):
    from_memory = TrueOrFalse()
    limit = WholeNumber()
    offset = WholeNumber()
    search = mm.String()

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def drop_empty(self, data: Mapping[str, str], **kwargs: Any) -> dict[str, str]:
        return {name: value for name, value in data.items() if value != ""}

    @post_load
    def make_query(self, data: dict[str, Any], **kwargs: Any) -> Query:
        paged = not data.keys().isdisjoint({"limit", "offset", "search"})
        data["limit"] = min(data.get("limit") or DEFAULT_LIMIT, MAXIMUM_LIMIT)
        return Query(paged=paged, **data)


class TeamsQuerySchema(CustomersQuerySchema):
    customer_id = mm.String()


class ErrorDetailSchema(Schema):
    type = mm.String(dump_default="")
    code = mm.String()
    message = mm.String()
    param = mm.String(dump_default="")
    event_id = mm.String()


class ErrorExtraFieldsSchema(Schema):
    provider = mm.String(dump_default="")
    model_requested = mm.String(dump_default="")
    request_type = mm.String(dump_default="")


class ErrorSchema(Schema):
    """The teams document's error body; the only one that is answered."""

    event_id = mm.String()
    type = mm.String(dump_default="")
    is_bifrost_error = mm.Boolean(dump_default=False)  # as the gateway sends it
    status_code = mm.Integer()
    error = mm.Nested(ErrorDetailSchema)
    extra_fields = mm.Nested(ErrorExtraFieldsSchema)
