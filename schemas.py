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


def meaning(text: str) -> dict[str, str]:
    """Return what the OpenAPI document says of a field of marshmallow's own."""
    return {"description": text}


# Fields that dump values of a type as they are stored: most values there are.
AS_STORED: dict[type, type] = {
    **dict.fromkeys((Text, NonEmpty, Duration, Filled), str),
    Number: int,
}


class RowSchema(Schema):
    """A schema of rows, as tuples with names or as dicts."""

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
    """A schema of rows of one table; broken values are reported with its name."""

    table: ClassVar[str]


class BudgetSchema(EntitySchema):
    table = "governance_budgets"

    id = Text(help="Identifies the budget.")
    max_limit = Number(help="How much may be used in a period, in US dollars.")
    reset_duration = Text(
        help="How long a period is: `30s`, `1h`, `1d`, `1w`, `1M`, `1Y`."
    )
    calendar_aligned = Flag(
        help="Whether periods follow the calendar (UTC), not the last reset."
    )
    last_reset = Timestamp(help="When the present period began.")
    current_usage = Number(help="How much is used in the present period.")
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")
    team_id = Text(LEFT_OUT, help="The team it belongs to, if it is a team's.")
    virtual_key_id = Text(
        LEFT_OUT, help="The virtual key it belongs to, if it is a key's."
    )
    provider_config_id = Number(
        LEFT_OUT, help="The provider config it belongs to, if it is one's."
    )
    customer_id = Text(
        LEFT_OUT, help="The customer it belongs to, if it is a customer's."
    )


class RateLimitSchema(EntitySchema):
    table = "governance_rate_limits"

    id = Text(help="Identifies the rate limit.")
    token_max_limit = Number(LEFT_OUT, help="How many tokens may be used in a period.")
    token_reset_duration = Text(LEFT_OUT, help="How long a period of tokens is.")
    token_current_usage = Number(help="How many tokens are used in the present period.")
    token_last_reset = Timestamp(help="When the present period of tokens began.")
    request_max_limit = Number(
        LEFT_OUT, help="How many requests may be made in a period."
    )
    request_reset_duration = Text(LEFT_OUT, help="How long a period of requests is.")
    request_current_usage = Number(
        help="How many requests are made in the present period."
    )
    request_last_reset = Timestamp(help="When the present period of requests began.")
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")


class ProviderKeySchema(EntitySchema):
    table = "config_keys"

    id = Number(help="Identifies the provider key in the database.")
    name = Text(help="Its name.")
    provider_id = Number(help="The id of its provider.")
    provider = Text(help="The name of its provider.")
    key_id = Text(help="Identifies the key in the gateway's configuration.")
    value = EnvValue(values.env_value(None), help="The provider's secret, never shown.")
    models = TextList(attribute="models_json", help="The models that it is for.")
    weight = Number(None, help="Its share of the requests, beside other keys'.")
    enabled = Flag(True, help="Whether it is used.")
    use_for_batch_api = Flag(help="Whether batches may use it.")
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    azure_endpoint = EnvValue(help="Azure: the endpoint.")
    azure_client_id = EnvValue(help="Azure: the client's id.")
    azure_client_secret = EnvValue(help="Azure: the client's secret.")
    azure_tenant_id = EnvValue(help="Azure: the tenant's id.")
    vertex_project_id = EnvValue(help="Vertex AI: the project's id.")
    vertex_project_number = EnvValue(help="Vertex AI: the project's number.")
    vertex_region = EnvValue(help="Vertex AI: the region.")
    vertex_auth_credentials = EnvValue(help="Vertex AI: the service account.")
    bedrock_access_key = EnvValue(help="Bedrock: the access key.")
    bedrock_secret_key = EnvValue(help="Bedrock: the secret key.")
    bedrock_session_token = EnvValue(help="Bedrock: the session token.")
    bedrock_region = EnvValue(help="Bedrock: the region.")
    bedrock_arn = EnvValue(help="Bedrock: the resource's name (ARN).")


class ModelBudgetSchema(EntitySchema):
    table = "governance_model_configs"

    model_name = Text(help="The model that these limits are for.")
    budgets = Related(BudgetSchema, many=True, help="What may be spent on the model.")
    rate_limit = Related(RateLimitSchema, help="How often the model may be used.")


class ProviderConfigSchema(EntitySchema):
    table = "governance_virtual_key_provider_configs"

    id = Number(help="Identifies the provider config.")
    virtual_key_id = Text(help="The virtual key it belongs to.")
    provider = Text(help="The provider that the virtual key may use.")
    weight = Number(
        None, help="The provider's share of the requests, beside other providers'."
    )
    allowed_models = TextList(help="The models that may be used; `*` is all.")
    blacklisted_models = TextList(help="The models that may not be used.")
    allow_all_keys = Flag(help="Whether all keys of the provider may be used.")
    rate_limit_id = Text(LEFT_OUT, help="The id of its rate limit.")
    budgets = Related(BudgetSchema, many=True, help="All its budgets.")
    rate_limit = Related(RateLimitSchema, help="Its rate limit.")
    keys = Related(
        ProviderKeySchema,
        many=True,
        help="The keys of the provider that may be used, unless all may.",
    )
    model_budgets = Related(
        ModelBudgetSchema,
        many=True,
        help="Limits of single models; left out where there are none.",
    )


class StdioConfigSchema(Schema):
    command = Command(help="The program.")
    args = Arguments(metadata=meaning("Its arguments."))
    envs = Variables(metadata=meaning("The environment variables that it is given."))


class TlsConfigSchema(Schema):
    insecure_skip_verify = Flag(help="Whether any certificate is accepted.")
    ca_cert_pem = Certificate(help="The certificates that are trusted, as PEM.")


class McpClientSchema(EntitySchema):
    table = "config_mcp_clients"

    client_id = Text(help="Identifies the client in the gateway's configuration.")
    name = Text(help="Its name.")
    is_code_mode_client = Flag(
        help="Whether its tools are called by code that the model writes."
    )
    connection_string = ConnectionString(
        help="The server's URL, with credentials masked as `***`."
    )
    stdio_config = JsonShape(
        StdioConfigSchema,
        attribute="stdio_config_json",
        help="The command that runs the server, with credentials masked.",
    )
    tls_config = JsonShape(
        TlsConfigSchema,
        attribute="tls_config_json",
        help="How the server's certificate is checked.",
    )
    oauth_config_id = Text(LEFT_OUT, help="The id of its OAuth configuration.")
    headers = Headers(
        attribute="headers_json",
        help="The headers that are sent to the server, by name.",
    )
    tools_to_execute = TextList(
        attribute="tools_to_execute_json",
        help="The tools that may be called; `*` is all.",
    )
    tools_to_auto_execute = TextList(
        attribute="tools_to_auto_execute_json",
        help="The tools that are called without asking.",
    )
    tool_pricing = JsonText(
        dict,
        attribute="tool_pricing_json",
        help="What a call of a tool costs, by the tool's name.",
    )
    allow_on_all_virtual_keys = Flag(help="Whether all virtual keys may use it.")
    per_user_header_keys = TextList(
        attribute="per_user_header_keys_json",
        help="The headers whose values each user gives.",
    )
    disabled = Flag(help="Whether it is switched off.")


class McpConfigSchema(EntitySchema):
    table = "governance_virtual_key_mcp_configs"

    id = Number(help="Identifies the MCP config.")
    virtual_key_id = Text(help="The virtual key it belongs to.")
    mcp_client_id = Number(help="The id of the MCP client, in the database.")
    mcp_client_name = Filled(help="The name of the MCP client.")
    mcp_client = Related(
        McpClientSchema, help="The MCP client that the virtual key may use."
    )
    tools_to_execute = TextList(
        help="The client's tools that the key may call; `*` is all."
    )


class VirtualKeySchema(EntitySchema):
    table = "governance_virtual_keys"

    id = Text(help="Identifies the virtual key.")
    name = Text(help="Its name.")
    value = Filled(
        help="The credential itself: masked for virtual keys, empty if encrypted."
    )
    description = Text(help="What it is for.")
    is_active = Flag(True, help="Whether the gateway accepts it.")
    provider_configs = Related(
        ProviderConfigSchema, many=True, help="The providers that it may use."
    )
    mcp_configs = Related(
        McpConfigSchema, many=True, help="The MCP clients that it may use."
    )
    calendar_aligned = Flag(
        help="Whether periods follow the calendar (UTC), not the last reset."
    )
    team_id = Text(LEFT_OUT, help="The team it belongs to.")
    customer_id = Text(LEFT_OUT, help="The customer it belongs to directly.")
    rate_limit_id = Text(LEFT_OUT, help="The id of its rate limit.")
    team = Related(
        lambda: TeamSchema(), help="Empty: that it has a team; the key stands in it."
    )
    customer = Related(
        lambda: CustomerSchema(),
        help="Empty: that it has a customer; the key stands in it.",
    )
    budgets = Related(
        BudgetSchema,
        many=True,
        help="All its budgets, but those of provider configs and models.",
    )
    rate_limit = Related(RateLimitSchema, help="Its rate limit.")
    created_by_user_id = Text(LEFT_OUT, help="Who created it.")
    model_budgets = Related(
        ModelBudgetSchema,
        many=True,
        help="Limits of single models; left out where there are none.",
    )
    expires_at = Expiry(help="When it ends; left out where it never does.")
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")


class TeamSchema(EntitySchema):
    table = "governance_teams"

    id = Text(help="Identifies the team.")
    name = Text(help="Its name.")
    customer_id = Text(LEFT_OUT, help="The customer it belongs to.")
    budget_id = Text(
        LEFT_OUT, help="The id of its budget, of the first if there are several."
    )
    rate_limit_id = Text(LEFT_OUT, help="The id of its rate limit.")
    customer = Related(
        lambda: CustomerSchema(),
        help="Its customer, whole; empty within that customer.",
    )
    budget = Related(BudgetSchema, help="The budget that `budget_id` names.")
    budgets = Related(BudgetSchema, many=True, help="All its budgets.")
    rate_limit = Related(RateLimitSchema, help="Its rate limit.")
    virtual_keys = Related(
        VirtualKeySchema, many=True, help="The virtual keys that belong to it."
    )
    calendar_aligned = Flag(
        help="Whether periods follow the calendar (UTC), not the last reset."
    )
    virtual_key_count = Number(help="How many virtual keys belong to it.")
    profile = JsonText(dict, help="Anything that is known of it.")
    config = JsonText(dict, help="Anything that is configured for it.")
    claims = JsonText(
        dict, help="Claims of identity providers that make someone its member."
    )
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")


class CustomerSchema(EntitySchema):
    table = "governance_customers"

    id = Text(help="Identifies the customer.")
    name = Text(help="Its name.")
    budget_id = Text(
        LEFT_OUT, help="The id of its budget, of the first if there are several."
    )
    rate_limit_id = Text(LEFT_OUT, help="The id of its rate limit.")
    budget = Related(BudgetSchema, help="The budget that `budget_id` names.")
    budgets = Related(BudgetSchema, many=True, help="All its budgets.")
    rate_limit = Related(RateLimitSchema, help="Its rate limit.")
    calendar_aligned = Flag(
        help="Whether periods follow the calendar (UTC), not the last reset."
    )
    virtual_key_count = Number(help="How many virtual keys belong to it directly.")
    teams = Related(
        TeamSchema, many=True, help="Its teams, each with its virtual keys."
    )
    virtual_keys = Related(
        VirtualKeySchema,
        many=True,
        help="The virtual keys that belong to it directly, and to no team.",
    )
    config_hash = Text(
        help="A hash of the part of a config file that it came from, if any."
    )
    created_at = Timestamp(help="When it was created.")
    updated_at = Timestamp(help="When it was last changed.")


class TeamsAnswerSchema(Schema):
    teams = Related(TeamSchema, many=True, help="The teams that the caller sees.")
    count = mm.Integer(metadata=meaning("How many this answer has."))
    total_count = mm.Integer(metadata=meaning("How many match, before paging."))
    limit = mm.Integer(
        metadata=meaning("How many a page has; `count` where the answer is whole.")
    )
    offset = mm.Integer(metadata=meaning("How many were passed over."))


class CustomersAnswerSchema(Schema):
    customers = Related(CustomerSchema, many=True, help="The customers.")
    count = mm.Integer(metadata=meaning("How many this answer has."))
    total_count = mm.Integer(metadata=meaning("How many match, before paging."))
    limit = mm.Integer(
        metadata=meaning("How many a page has; `count` where the answer is whole.")
    )
    offset = mm.Integer(metadata=meaning("How many were passed over."))


@dataclass(frozen=True)
class Query:
    """The parameters of a request for a list; `paged` if any of paging is there."""

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
    from_memory = TrueOrFalse(
        metadata=meaning("Whether to answer from memory, without the database.")
    )
    limit = WholeNumber(
        metadata=meaning("How many at most: 25 unless given, 25 for 0, 100 above.")
    )
    offset = WholeNumber(metadata=meaning("How many to pass over."))
    search = mm.String(metadata=meaning("A part of the name, in any case."))

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
    customer_id = mm.String(metadata=meaning("Only the teams of this customer."))


class ErrorDetailSchema(Schema):
    type = mm.String(dump_default="", metadata=meaning("Always empty."))
    code = mm.String(metadata=meaning("What went wrong, for programs."))
    message = mm.String(metadata=meaning("What went wrong, for people."))
    param = mm.String(
        dump_default="",
        metadata=meaning("The parameter that is to blame; empty if none is."),
    )
    event_id = mm.String(metadata=meaning("The request's id."))


class ErrorExtraFieldsSchema(Schema):
    provider = mm.String(
        dump_default="", metadata=meaning("Always empty, as of no model request.")
    )
    model_requested = mm.String(dump_default="", metadata=meaning("Always empty, too."))
    request_type = mm.String(dump_default="", metadata=meaning("Always empty, too."))


class ErrorSchema(Schema):
    """The teams document's error body; the only one that is answered."""

    event_id = mm.String(
        metadata=meaning("The request's id, as `X-Request-Id` has it.")
    )
    type = mm.String(dump_default="", metadata=meaning("Always empty."))
    is_bifrost_error = mm.Boolean(
        dump_default=False, metadata=meaning("Always false, as the gateway sends it.")
    )
    status_code = mm.Integer(metadata=meaning("The status, as in the headers."))
    error = mm.Nested(ErrorDetailSchema, metadata=meaning("What went wrong."))
    extra_fields = mm.Nested(
        ErrorExtraFieldsSchema, metadata=meaning("The gateway's; all empty.")
    )
