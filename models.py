"""The gateway's tables as peewee models, the layouts of all its versions in one.

Values pass through as they are stored: the schemas make sense of them. Opening and
reading databases is in database.py.
"""

from collections import namedtuple
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import peewee

NO_OTHERS: Mapping[str, str] = {}  # types have the names that the columns say
Layout = Literal["april", "may", "july", "own"]

# Gateways of 2026 whose tables differ. April: owners name their budget. May: budgets
# name the virtual key or provider config that owns them, alignment is the key's; what
# April stored stands beside. July: budgets name every owner, model configs included.
# Our own has the columns of all three: what a gateway of any kind has goes in and comes
# out again as it was.
LAYOUTS: tuple[Layout, ...] = ("april", "may", "july")


class Column(peewee.Field):
    """A column; `layouts` names those that have it, all where it is empty.

    Nothing is converted on the way out: a timestamp keeps its nanoseconds as text.
    """

    def __init__(self, field_type: str, *layouts: Layout, **kwargs: Any) -> None:
        self.field_type = field_type  # type: ignore[misc]
        self.layouts = frozenset(layouts)
        super().__init__(null=not kwargs.get("primary_key"), **kwargs)


def text(*layouts: Layout, **kwargs: Any) -> Column:
    return Column("TEXT", *layouts, **kwargs)


def real(*layouts: Layout) -> Column:
    return Column("REAL", *layouts)


def integer(*layouts: Layout, **kwargs: Any) -> Column:
    return Column("INTEGER", *layouts, **kwargs)


def boolean(*layouts: Layout) -> Column:
    return Column("NUMERIC", *layouts)


def timestamp(*layouts: Layout) -> Column:
    return Column("DATETIME", *layouts)


class Customer(peewee.Model):
    id = text(primary_key=True)
    name = text()
    budget_id = text("april", "may")
    rate_limit_id = text()
    calendar_aligned = boolean("july")
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_customers"


class Team(peewee.Model):
    id = text(primary_key=True)
    name = text()
    customer_id = text()
    budget_id = text("april", "may")
    rate_limit_id = text()
    calendar_aligned = boolean("july")
    source_id = text("july")
    profile = text()
    config = text()
    claims = text()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_teams"


class VirtualKey(peewee.Model):
    id = text(primary_key=True)
    name = text(unique=True)
    description = text()
    value = text(unique=True)
    is_active = boolean()
    team_id = text()
    customer_id = text()
    budget_id = text("april", "may")
    rate_limit_id = text()
    calendar_aligned = boolean("may", "july")
    created_by_user_id = text("july")
    expires_at = timestamp("july")
    config_hash = text()
    encryption_status = text()
    value_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_virtual_keys"


class Budget(peewee.Model):
    id = text(primary_key=True)
    max_limit = real()
    reset_duration = text()
    last_reset = timestamp()
    current_usage = real()
    calendar_aligned = boolean("april", "may")
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()
    team_id = text("july")
    customer_id = text("july")
    virtual_key_id = text("may", "july")
    provider_config_id = integer("may", "july")
    model_config_id = text("july")

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
    virtual_key_id = text(index=True)
    provider = text()
    weight = real()
    allowed_models = text()
    blacklisted_models = text("july")
    allow_all_keys = boolean("may", "july")
    budget_id = text("april", "may")
    rate_limit_id = text()

    class Meta:
        table_name = "governance_virtual_key_provider_configs"


class ModelConfig(peewee.Model):
    """The budgets and the limit of a model, within the scope that the row names.

    Since July, those of virtual keys and their provider configs, too: `model_name` "*".
    """

    id = text(primary_key=True)
    model_name = text()
    provider = text()
    scope = text("july")
    scope_id = text("july")
    calendar_aligned = boolean("july")
    budget_id = text()
    rate_limit_id = text()
    config_hash = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "governance_model_configs"


class ProviderConfigKey(peewee.Model):
    """The join of provider configs and the provider keys attached to them."""

    provider_config_id = integer(column_name="table_virtual_key_provider_config_id")
    provider_key_id = integer(column_name="table_key_id")

    class Meta:
        table_name = "governance_virtual_key_provider_config_keys"
        primary_key = peewee.CompositeKey("provider_config_id", "provider_key_id")


class McpConfig(peewee.Model):
    id = integer(primary_key=True)
    virtual_key_id = text(index=True)
    mcp_client_id = integer()
    tools_to_execute = text()

    class Meta:
        table_name = "governance_virtual_key_mcp_configs"


class ProviderKey(peewee.Model):
    id = integer(primary_key=True)
    name = text(unique=True)
    provider_id = integer()
    provider = text()
    key_id = text(unique=True)
    value = text()
    models_json = text()
    weight = real()
    enabled = boolean()
    use_for_batch_api = boolean()
    created_at = timestamp()
    updated_at = timestamp()
    config_hash = text()
    azure_endpoint = text()
    azure_client_id = text()
    azure_client_secret = text()
    azure_tenant_id = text()
    vertex_project_id = text()
    vertex_project_number = text()
    vertex_region = text()
    vertex_auth_credentials = text()
    bedrock_access_key = text()
    bedrock_secret_key = text()
    bedrock_session_token = text()
    bedrock_region = text()
    bedrock_arn = text()
    encryption_status = text()

    class Meta:
        table_name = "config_keys"


class McpClient(peewee.Model):
    id = integer(primary_key=True)
    client_id = text(unique=True)
    name = text(unique=True)
    is_code_mode_client = boolean()
    connection_type = text()
    connection_string = text()
    stdio_config_json = text()
    tls_config_json = text("july")
    auth_type = text()
    oauth_config_id = text()
    headers_json = text()
    allowed_extra_headers_json = text("may", "july")
    tools_to_execute_json = text()
    tools_to_auto_execute_json = text()
    tool_pricing_json = text()
    allow_on_all_virtual_keys = boolean("may", "july")
    per_user_header_keys_json = text("july")
    disabled = boolean("july")
    encryption_status = text()
    created_at = timestamp()
    updated_at = timestamp()

    class Meta:
        table_name = "config_mcp_clients"


class Provider(peewee.Model):
    id = integer(primary_key=True)
    name = text(unique=True)
    budget_id = text()
    rate_limit_id = text()
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


# The columns by which a budget of a newer gateway names its owner in the answers. (One
# of a model config has the owner that the model config governs.)
BUDGET_OWNERS: dict[str, type[peewee.Model]] = {
    "team_id": Team,
    "customer_id": Customer,
    "virtual_key_id": VirtualKey,
    "provider_config_id": ProviderConfig,
}


@cache
def row_type(model: type[peewee.Model]) -> Any:
    """The named tuple for a model's rows, its fields in the model's order."""
    names = [column.name for column in model._meta.sorted_fields]
    return namedtuple(f"{model.__name__}Row", names)


def columns(model: type[peewee.Model], layout: Layout = "own") -> list[Column]:
    """The columns that a model's table has in a layout, in their order."""
    return [
        field
        for field in model._meta.sorted_fields
        if layout == "own" or not field.layouts or layout in field.layouts
    ]


def create_tables(database: peewee.Database, layout: Layout = "own") -> None:
    """Make all tables that are missing, as a gateway of that layout has them."""
    for model in MODELS:
        create_table(database, model, layout)


def create_table(
    database: peewee.Database,
    model: type[peewee.Model],
    layout: Layout = "own",
    types: Mapping[str, str] = NO_OTHERS,
) -> None:
    """Make a model's table and its indexes, if they are missing; `types` are the
    database's names of the columns' types.
    """
    table = model._meta.table_name
    fields = columns(model, layout)
    definitions = [
        f'"{field.column_name}" {types.get(field.field_type, field.field_type)}'
        + (" NOT NULL PRIMARY KEY" if field.primary_key else "")
        for field in fields
    ]
    if isinstance(model._meta.primary_key, peewee.CompositeKey):
        names = [f'"{field.column_name}"' for field in fields]
        definitions.append(f"PRIMARY KEY ({', '.join(names)})")
    database.execute_sql(
        f'CREATE TABLE IF NOT EXISTS "{table}" ({", ".join(definitions)})'
    )
    for field in fields:
        if field.unique or field.index:
            database.execute_sql(
                f"CREATE {'UNIQUE ' if field.unique else ''}INDEX IF NOT EXISTS"
                f' "idx_{table}_{field.column_name}" ON "{table}"'
                f' ("{field.column_name}")'
            )
