"""The gateway's tables as peewee models, the layouts of all its versions in one.

Each column says what there is to know of it: its kind, the model that it refers to,
whether a value may be there only once, whether it is a secret, whether gateways encrypt
it. All other modules ask here. Values pass through as they are stored: the fields make
sense of them.
"""

import re
from collections import namedtuple
from functools import cache
from typing import Any

import peewee

# Gateways of 2026 whose tables differ. April: owners name their budget. May: budgets
# name the virtual key or provider config that owns them, alignment is the key's; what
# April stored stands beside. July: budgets name every owner, model configs included.
# Our own has the columns of all three: what a gateway of any kind has goes in and comes
# out again as it was.


class Column(peewee.Field):
    """A column with the rules that hold for it.

    `refers_to` names the model whose primary key it holds. (A ForeignKeyField would be
    named after the object, and need to be deferred: budgets and their owners refer to
    each other. Here no row is ever joined by the database.) Of a `secret` nothing is
    kept but where it is read from. A gateway with a key encrypts what is `encrypted`.
    A column is `unique` if gateways' databases refuse a value a second time; columns of
    which they expect that, but refuse nothing, stand in the model's `expected_unique`.

    Nothing is converted on the way out: a timestamp keeps its nanoseconds as text.
    """

    def __init__(
        self,
        field_type: str,
        *,
        refers_to: str = "",
        secret: bool = False,
        encrypted: bool = False,
        **kwargs: Any,
    ) -> None:
        self.field_type = field_type  # type: ignore[misc]
        self.refers_to = refers_to
        self.secret = secret
        self.encrypted = encrypted
        super().__init__(null=not kwargs.get("primary_key"), **kwargs)


def text(**kwargs: Any) -> Column:
    return Column("TEXT", **kwargs)


def real() -> Column:
    return Column("REAL")


def integer(**kwargs: Any) -> Column:
    return Column("INTEGER", **kwargs)


def boolean() -> Column:
    return Column("NUMERIC")


def timestamp() -> Column:
    return Column("DATETIME")


class Customer(peewee.Model):
    id = text(primary_key=True)
    name = text()
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")
    calendar_aligned = boolean()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_customers"
        expected_unique = (("name",),)


class Team(peewee.Model):
    id = text(primary_key=True)
    name = text()
    customer_id = text(refers_to="Customer")
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")
    calendar_aligned = boolean()
    source_id = text()
    profile = text()
    config = text()
    claims = text()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_teams"
        expected_unique = (("customer_id", "name"),)


class VirtualKey(peewee.Model):
    id = text(primary_key=True)
    name = text(unique=True)
    description = text()
    value = text(unique=True, encrypted=True)
    is_active = boolean()
    team_id = text(refers_to="Team")
    customer_id = text(refers_to="Customer")
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")
    calendar_aligned = boolean()
    created_by_user_id = text()
    expires_at = timestamp()
    config_hash = text()
    encryption_status = text()
    value_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_virtual_keys"
        expected_unique = (("value_hash",),)


class Budget(peewee.Model):
    id = text(primary_key=True)
    max_limit = real()
    reset_duration = text()
    last_reset = timestamp()
    current_usage = real()
    calendar_aligned = boolean()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()
    team_id = text(refers_to="Team")
    customer_id = text(refers_to="Customer")
    virtual_key_id = text(refers_to="VirtualKey")
    provider_config_id = integer(refers_to="ProviderConfig")
    model_config_id = text(refers_to="ModelConfig")

    class Meta:
        table_name = "governance_budgets"


class RateLimit(peewee.Model):
    id = text(primary_key=True)
    token_max_limit = integer()
    token_reset_duration = text()
    token_current_usage = integer()
    token_last_reset = timestamp()
    request_max_limit = integer()
    request_reset_duration = text()
    request_current_usage = integer()
    request_last_reset = timestamp()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_rate_limits"


class ProviderConfig(peewee.Model):
    id = integer(primary_key=True)
    virtual_key_id = text(index=True, refers_to="VirtualKey")
    provider = text()
    weight = real()
    allowed_models = text()
    blacklisted_models = text()
    allow_all_keys = boolean()
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")

    class Meta:
        table_name = "governance_virtual_key_provider_configs"
        expected_unique = (("virtual_key_id", "provider"),)


class ModelConfig(peewee.Model):
    """The budgets and the limit of a model, within the scope that the row names.

    Since July, those of virtual keys and their provider configs, too: `model_name` "*".
    """

    id = text(primary_key=True)
    model_name = text()
    provider = text()
    scope = text()
    scope_id = text()
    calendar_aligned = boolean()
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_model_configs"
        expected_unique = (("scope", "scope_id", "provider", "model_name"),)


class ProviderConfigKey(peewee.Model):
    """The join of provider configs and the provider keys attached to them."""

    provider_config_id = integer(
        column_name="table_virtual_key_provider_config_id", refers_to="ProviderConfig"
    )
    provider_key_id = integer(column_name="table_key_id", refers_to="ProviderKey")

    class Meta:
        table_name = "governance_virtual_key_provider_config_keys"
        primary_key = peewee.CompositeKey("provider_config_id", "provider_key_id")


class McpConfig(peewee.Model):
    id = integer(primary_key=True)
    virtual_key_id = text(index=True, refers_to="VirtualKey")
    mcp_client_id = integer(refers_to="McpClient")
    tools_to_execute = text()

    class Meta:
        table_name = "governance_virtual_key_mcp_configs"
        expected_unique = (("virtual_key_id", "mcp_client_id"),)


class ProviderKey(peewee.Model):
    id = integer(primary_key=True)
    name = text(unique=True)
    provider_id = integer(refers_to="Provider")
    provider = text()
    key_id = text(unique=True)
    value = text(secret=True)
    models_json = text()
    weight = real()
    enabled = boolean()
    use_for_batch_api = boolean()
    created_at = timestamp()
    updated_at = timestamp()
    config_hash = text()
    azure_endpoint = text(secret=True)
    azure_client_id = text(secret=True)
    azure_client_secret = text(secret=True)
    azure_tenant_id = text(secret=True)
    vertex_project_id = text(secret=True)
    vertex_project_number = text(secret=True)
    vertex_region = text(secret=True)
    vertex_auth_credentials = text(secret=True)
    bedrock_access_key = text(secret=True)
    bedrock_secret_key = text(secret=True)
    bedrock_session_token = text(secret=True)
    bedrock_region = text(secret=True)
    bedrock_arn = text(secret=True)
    encryption_status = text()

    class Meta:
        table_name = "config_keys"


class McpClient(peewee.Model):
    id = integer(primary_key=True)
    client_id = text(unique=True)
    name = text(unique=True)
    is_code_mode_client = boolean()
    connection_type = text()
    connection_string = text(encrypted=True)
    stdio_config_json = text()
    tls_config_json = text()
    auth_type = text()
    oauth_config_id = text()
    headers_json = text(secret=True, encrypted=True)
    allowed_extra_headers_json = text()
    tools_to_execute_json = text()
    tools_to_auto_execute_json = text()
    tool_pricing_json = text()
    allow_on_all_virtual_keys = boolean()
    per_user_header_keys_json = text()
    disabled = boolean()
    encryption_status = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "config_mcp_clients"


class Provider(peewee.Model):
    id = integer(primary_key=True)
    name = text(unique=True)
    budget_id = text(refers_to="Budget")
    rate_limit_id = text(refers_to="RateLimit")
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "config_providers"


Row = Any  # a named tuple with all columns of a model, NULL where a database lacks one

MODELS: tuple[type[peewee.Model], ...] = (
    Customer,
    Team,
    VirtualKey,
    Budget,
    RateLimit,
    ProviderConfig,
    ModelConfig,
    ProviderConfigKey,
    McpConfig,
    ProviderKey,
    McpClient,
    Provider,
)
# Without these a file is no gateway's; the others came and went with its versions.
REQUIRED = (Customer, Team, VirtualKey, Budget, RateLimit)


Model = type[peewee.Model]


def _columns(model: Model) -> list[Column]:
    fields = model._meta.sorted_fields
    return [field for field in fields if isinstance(field, Column)]


@cache
def references(model: Model) -> dict[str, Model]:
    """Return the models that a model's columns refer to, by the columns' names."""
    models = {each.__name__: each for each in MODELS}
    return {
        column.name: models[column.refers_to]
        for column in _columns(model)
        if column.refers_to
    }


@cache
def referring(to: Model) -> list[tuple[Model, str]]:
    """Return all columns that refer to a model, each with the model that has it."""
    return [
        (model, column)
        for model in MODELS
        for column, referred in references(model).items()
        if referred is to
    ]


@cache
def unique_columns(model: Model) -> list[str]:
    """Return the columns in which gateways' databases hold no value twice."""
    return [column.name for column in _columns(model) if column.unique]


@cache
def secret_columns(model: Model) -> list[str]:
    """Return the columns of which nothing is kept but where they are read from."""
    return [column.name for column in _columns(model) if column.secret]


@cache
def encrypted_columns(model: Model) -> list[str]:
    """Return the columns that a gateway with a key encrypts."""
    return [column.name for column in _columns(model) if column.encrypted]


@cache
def noun(model: Model) -> str:
    """Return the words for a model's rows, such as "virtual key"."""
    words = re.sub("(?<=[a-z])(?=[A-Z])", " ", model.__name__).lower()
    return words.replace("mcp", "MCP")


# The columns by which a budget names its owner, and those of them that answers show: a
# budget of a model config belongs, there, to what the model config governs.
BUDGET_OWNERS = references(Budget)
SHOWN_OWNERS = {
    column: model for column, model in BUDGET_OWNERS.items() if model is not ModelConfig
}


@cache
def column_names(model: Model) -> list[str]:
    return [column.name for column in model._meta.sorted_fields]


@cache
def row_type(model: Model) -> Any:
    """Return the named tuple for a model's rows, its fields in the model's order."""
    return namedtuple(f"{model.__name__}Row", column_names(model))
