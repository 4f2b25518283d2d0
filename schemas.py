"""The shape of every answer: one marshmallow schema per noun, keys in document order.

Also the query and the error body. A schema dumps anything with the models' attributes
(a row, a dict, a peewee object).
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import Any, ClassVar, cast

import orjson
from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    missing,
    post_load,
    pre_load,
)

import values

log = logging.getLogger("governance")

DEFAULT_LIMIT = 25  # as the real gateway's
MAXIMUM_LIMIT = 100
MAXIMUM_INTEGER = 2**63 - 1

LEFT_OUT = missing  # what a field dumps when its key is to be left out


@cache
def report_broken(table: str, row_id: object, column: str, problem: str) -> None:
    """Log a broken value, once for the life of the process."""
    log.warning("%s, row %r: %s %s", table, row_id, column, problem)


class StoredField(fields.Field):
    """One stored value. `unset` answers for NULL, and for what cannot be read."""

    def __init__(self, unset: Any, **kwargs: Any) -> None:
        self.unset = unset
        super().__init__(**kwargs)

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
        """Log what is wrong with a column of the row that is being dumped."""
        table = getattr(self.parent, "table", "?")
        report_broken(table, _attribute(obj, "id"), column, problem)

    def read(self, value: Any) -> Any:
        raise NotImplementedError


def _attribute(obj: Any, name: str) -> Any:
    if type(obj) is dict:  # nearly always, and much quicker to tell than a Mapping
        return obj.get(name)
    return obj.get(name) if isinstance(obj, Mapping) else getattr(obj, name, None)


class Text(StoredField):
    def __init__(self, unset: Any = "", **kwargs: Any) -> None:
        super().__init__(unset, **kwargs)

    read = staticmethod(values.text)


class Number(StoredField):
    def __init__(self, unset: Any = 0, **kwargs: Any) -> None:
        super().__init__(unset, **kwargs)

    read = staticmethod(values.number)


class Flag(StoredField):
    def __init__(self, unset: bool = False, **kwargs: Any) -> None:
        super().__init__(unset, **kwargs)

    read = staticmethod(values.flag)


class Timestamp(StoredField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(values.ZERO_TIME, **kwargs)

    read = staticmethod(values.rfc3339)


class Expiry(StoredField):
    """The time at which something ends; never, where it is unset or Go's zero time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(LEFT_OUT, **kwargs)

    def read(self, value: Any) -> Any:
        time = values.rfc3339(value)
        return LEFT_OUT if time == values.ZERO_TIME else time


class JsonText(StoredField):
    """A column holding JSON text of one kind: `list` or `dict`."""

    def __init__(self, kind: type, unset: Any = None, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(kind() if unset is None else unset, **kwargs)

    def read(self, value: Any) -> Any:
        parsed = orjson.loads(value)
        if parsed is None:
            return self.unset
        if not isinstance(parsed, self.kind):
            raise ValueError(f"is not a JSON {_JSON_NAMES[self.kind]}")
        return values.whole_numbers(parsed)


_JSON_NAMES: dict[type, str] = {list: "array", dict: "object"}


Show = Callable[[Any], Any]  # makes what is shown of what is stored


class TextList(JsonText):
    """A column holding a JSON array of texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(list, **kwargs)
        # The same few lists of models and tools stand in most rows.
        self._parsed = lru_cache(1024)(self._parse)

    def read(self, value: Any) -> Any:
        return self._parsed(value)

    def _parse(self, value: Any) -> Any:
        parsed = super().read(value)
        if not all(isinstance(member, str) for member in parsed):
            raise ValueError("is not a JSON array of texts")
        return parsed


class JsonShape(JsonText):
    """A column holding a JSON object, of which the documented members are shown.

    `members` says of each what it holds, and how that is shown.
    """

    def __init__(self, members: Mapping[str, tuple[type, Show]], **kwargs: Any) -> None:
        self.members = members
        super().__init__(dict, unset=LEFT_OUT, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        stored = super()._serialize(value, attr, obj, **kwargs)
        if stored is LEFT_OUT:
            return LEFT_OUT
        shown = {}
        for name, (kind, show) in self.members.items():
            member = values.secret_text(stored.get(name))
            if member is not None and not _is_of(kind, member):
                self.report(obj, f"{attr}.{name}", "is of another kind than documented")
                member = None
            shown[name] = kind() if member is None else show(member)
        return shown


def _is_of(kind: type, member: Any) -> bool:
    """True if a member of a JSON object is of a kind; an array, if it is of texts."""
    if isinstance(member, list):
        return kind is list and all(isinstance(each, str) for each in member)
    return type(member) is kind


class EnvValue(StoredField):
    """A provider's secret: never shown, only where it is read from."""

    def __init__(self, unset: Any = LEFT_OUT, **kwargs: Any) -> None:
        super().__init__(unset, **kwargs)

    read = staticmethod(values.env_value)


class Headers(JsonText):
    """Header names with an EnvValue each; newer gateways store objects for these."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dict, **kwargs)

    def read(self, value: Any) -> dict[str, Any]:
        return {
            name: values.env_value(stored)
            for name, stored in super().read(value).items()
        }


class ConnectionString(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(LEFT_OUT, **kwargs)

    def read(self, value: Any) -> str:
        return values.mask_url(values.text(values.secret_text(value)))


class Filled(Text):
    """Text that is not its row's alone: another row's, or different for some callers.

    It is given beside the row, as relations are; JSON stays as it is.
    """

    def read(self, value: Any) -> Any:
        return value if isinstance(value, orjson.Fragment) else values.text(value)


# Fields that tell values of a type as they are stored: most values there are.
TOLD_AS_STORED: dict[type[fields.Field], type] = {Text: str, Filled: str, Number: int}


class Related(fields.Nested):
    """Other entities within one.

    Nothing there is left out; an empty object stays one: that is where the documents
    cut the circle of customers and teams.
    """

    unset = LEFT_OUT

    def _serialize(  # type: ignore[override]
        self, nested_obj: Any, attr: Any, obj: Any, **kwargs: Any
    ) -> Any:
        if nested_obj is None:
            return LEFT_OUT
        if nested_obj == {}:
            return {}
        return super()._serialize(nested_obj, attr, obj, **kwargs)


class EntitySchema(Schema):
    """What the entities share: their table, for messages, and how they are read."""

    table: ClassVar[str]

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """What the object has by that name, None where it has nothing."""
        return _attribute(obj, attr)

    def dump_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """What `dump` gives for one dict, whose relations are dumped already.

        In a third of the time: without hooks, nor a call for what is told as stored.
        """
        dumped = {}
        for name, attribute, unset, as_stored, serialize in self._members:
            value = row.get(attribute)
            if value is None or value == "":
                value = unset
            elif type(value) is not as_stored:
                value = serialize(value, attribute, row)
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
                TOLD_AS_STORED.get(type(field)),
                _as_it_is if isinstance(field, Related) else field._serialize,
            )
            for name, field in self.dump_fields.items()
        ]


def _as_it_is(value: Any, attribute: str, row: dict[str, Any]) -> Any:
    return value


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


STDIO_CONFIG: dict[str, tuple[type, Show]] = {
    "command": (str, values.mask_command),
    "args": (list, values.mask_arguments),
    "envs": (list, values.mask_variables),
}
TLS_CONFIG: dict[str, tuple[type, Show]] = {
    "insecure_skip_verify": (bool, bool),
    "ca_cert_pem": (str, values.mask_certificate),
}


class McpClientSchema(EntitySchema):
    table = "config_mcp_clients"

    client_id = Text()
    name = Text()
    is_code_mode_client = Flag()
    connection_string = ConnectionString()
    stdio_config = JsonShape(STDIO_CONFIG, attribute="stdio_config_json")
    tls_config = JsonShape(TLS_CONFIG, attribute="tls_config_json")
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
    count = fields.Integer()
    total_count = fields.Integer()
    limit = fields.Integer()
    offset = fields.Integer()


class CustomersAnswerSchema(Schema):
    customers = Related(CustomerSchema, many=True)
    count = fields.Integer()
    total_count = fields.Integer()
    limit = fields.Integer()
    offset = fields.Integer()


@dataclass(frozen=True)
class Query:
    """What a request asks of a list. `paged` when it used a paging parameter."""

    customer_id: str = ""
    from_memory: bool = field(default=False, compare=False)  # the answer is the same
    search: str = ""
    paged: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0


class TrueOrFalse(fields.Field):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        except KeyError:
            raise ValidationError("takes true, false, 1 or 0") from None


class WholeNumber(fields.Field):
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
    search = fields.String()

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
    customer_id = fields.String()


class ErrorDetailSchema(Schema):
    type = fields.String(dump_default="")
    code = fields.String()
    message = fields.String()
    param = fields.String(dump_default="")
    event_id = fields.String()


class ErrorExtraFieldsSchema(Schema):
    provider = fields.String(dump_default="")
    model_requested = fields.String(dump_default="")
    request_type = fields.String(dump_default="")


class ErrorSchema(Schema):
    """The teams document's error body; the only one that is answered."""

    event_id = fields.String()
    type = fields.String(dump_default="")
    is_bifrost_error = fields.Boolean(dump_default=False)  # as the gateway sends it
    status_code = fields.Integer()
    error = fields.Nested(ErrorDetailSchema)
    extra_fields = fields.Nested(ErrorExtraFieldsSchema)
