"""One marshmallow schema for each thing in a gateway's files.

They load what files say into rows, and dump rows as `flask export` writes them; their
fields say what is wrong with what is stored. Beside its fields, each schema names what
else gateways know of the thing: the things within it (`holds`), which have schemas of
their own, and what no answer of ours needs (`passed_over`). Whatever else a file says,
it is alone in knowing. References from one thing to another are merging.py's matter.
"""

from functools import cache
from typing import ClassVar, cast

from marshmallow import EXCLUDE
from marshmallow.fields import Field

from fields import (
    ConnectionString,
    Duration,
    Expiry,
    Flag,
    JsonShape,
    JsonText,
    NonEmpty,
    Number,
    Related,
    Secret,
    SecretHeaders,
    StoredField,
    Text,
    TextList,
    Timestamp,
)
from models import (
    Budget,
    Customer,
    McpClient,
    McpConfig,
    Model,
    ModelConfig,
    Provider,
    ProviderConfig,
    ProviderKey,
    RateLimit,
    Team,
    VirtualKey,
    secret_columns,
)
from schemas import RowSchema, StdioConfigSchema, TlsConfigSchema

LIMITS = ("budget", "budgets", "rate_limit")
# How files name the number of a row. Gateways pass it over; an "id" they would take for
# a number of their own, and in a provider's key it is a text.
NUMBER = "number"


class FileSchema(RowSchema):
    """A part of a file; names that it does not know are passed over."""

    class Meta:
        unknown = EXCLUDE

    holds: ClassVar[tuple[str, ...]] = ()
    passed_over: ClassVar[tuple[str, ...]] = ()

    def on_bind_field(self, field_name: str, field_obj: Field) -> None:
        """Give a field the default that its kind has in files."""
        if isinstance(field_obj, StoredField) and field_obj.unset_by_kind:
            field_obj.unset = field_obj.in_files


class BudgetFileSchema(FileSchema):
    passed_over = (
        "override_amount",
        "override_mode",
        "override_cycles_remaining",
        "override_cycles_total",
        "override_anchor_reset",
    )

    id = NonEmpty(required=True)
    max_limit = Number(required=True)
    reset_duration = Duration(required=True)
    last_reset = Timestamp()
    current_usage = Number()
    calendar_aligned = Flag()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()
    team_id = Text()
    customer_id = Text()
    virtual_key_id = Text()
    provider_config_id = Number(whole=True)
    model_config_id = Text()


class RateLimitFileSchema(FileSchema):
    id = NonEmpty(required=True)
    token_max_limit = Number(above=True, whole=True)
    token_reset_duration = Duration()
    token_current_usage = Number(whole=True)
    token_last_reset = Timestamp()
    request_max_limit = Number(above=True, whole=True)
    request_reset_duration = Duration()
    request_current_usage = Number(whole=True)
    request_last_reset = Timestamp()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()
    calendar_aligned = Flag(load_only=True)  # older files say it here, not of the owner


class CustomerFileSchema(FileSchema):
    holds = (*LIMITS, "teams", "virtual_keys")
    passed_over = ("virtual_key_count", "team_count")

    id = NonEmpty(required=True)
    name = Text()
    budget_id = Text()
    rate_limit_id = Text()
    calendar_aligned = Flag()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class TeamFileSchema(FileSchema):
    holds = (*LIMITS, "customer", "virtual_keys")
    passed_over = ("virtual_key_count", "business_unit_id", "business_unit", "members")

    id = NonEmpty(required=True)
    name = Text()
    customer_id = Text()
    budget_id = Text()
    rate_limit_id = Text()
    calendar_aligned = Flag()
    source_id = Text()
    profile = JsonText(dict)
    config = JsonText(dict)
    claims = JsonText(dict)
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class ProviderConfigFileSchema(FileSchema):
    holds = (*LIMITS, "keys", "allowed_keys", "key_ids", "model_budgets", "id")
    passed_over = ("virtual_key_id",)

    number = Number(whole=True, attribute="id")
    provider = NonEmpty(required=True)
    weight = Number(allow_none=True)
    allowed_models = TextList()
    blacklisted_models = TextList()
    allow_all_keys = Flag()
    budget_id = Text()
    rate_limit_id = Text()


class ModelBudgetFileSchema(FileSchema):
    """A model's part of what a provider config, or a virtual key, may spend."""

    holds = LIMITS
    passed_over = ("rate_limit_id",)

    model_name = NonEmpty(required=True)


class McpConfigFileSchema(FileSchema):
    holds = ("mcp_client", "mcp_client_id", "mcp_client_name", "id")
    passed_over = ("virtual_key_id",)

    number = Number(whole=True, attribute="id")
    tools_to_execute = TextList()


class VirtualKeyFileSchema(FileSchema):
    holds = (
        *LIMITS,
        "team",
        "customer",
        "value",
        "provider_configs",
        "mcp_configs",
        "model_budgets",
    )
    passed_over = (
        "access_profile_id",
        "allow_all_providers",
        "assigned_user",
        "is_access_profile_managed",
        "metadata",
        "previous_value_expires_at",
        "rotated_at",
    )

    id = NonEmpty(required=True)
    name = Text()
    description = Text()
    value = Text(dump_only=True)
    is_active = Flag()
    team_id = Text()
    customer_id = Text()
    budget_id = Text()
    rate_limit_id = Text()
    calendar_aligned = Flag()
    created_by_user_id = Text()
    expires_at = Expiry()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class ModelConfigFileSchema(FileSchema):
    holds = (*LIMITS, "budget_ids")
    passed_over = ("scope_name",)

    id = NonEmpty(required=True)
    model_name = NonEmpty(required=True)
    provider = Text()
    scope = Text()
    scope_id = Text()
    calendar_aligned = Flag()
    budget_id = Text()
    rate_limit_id = Text()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


def _maker(maker: str, *passed_over: str) -> type[FileSchema]:
    """Return the schema of what a maker's keys have beside their value: the secrets in
    the columns whose names begin with the maker's.
    """
    prefix = f"{maker}_"
    columns = [c for c in secret_columns(ProviderKey) if c.startswith(prefix)]
    secrets: dict[str, Field] = {c.removeprefix(prefix): Secret() for c in columns}
    schema = FileSchema.from_dict(secrets, name=f"{maker.title()}FileSchema")
    made = cast(type[FileSchema], schema)
    made.passed_over = passed_over
    return made


MAKERS: dict[str, type[FileSchema]] = {
    "azure": _maker("azure", "scopes", "api_version", "deployments"),
    "vertex": _maker("vertex", "deployments", "force_single_region"),
    "bedrock": _maker(
        "bedrock",
        "batch_s3_config",
        "deployments",
        "external_id",
        "project_id",
        "role_arn",
        "role_session_name",
        "session_name",
    ),
}


class ProviderKeyFileSchema(FileSchema):
    holds = (
        "provider",
        "provider_id",
        *(
            f"{maker}_{name}"
            for maker, schema in MAKERS.items()
            for name in (*schema._declared_fields, *schema.passed_over)
        ),
    )
    passed_over = (
        "aliases",
        "blacklisted_models",
        "description",
        "status",
        "use_anthropic_endpoints",
        *(
            f"{maker}_key_config"
            for maker in (
                "bedrock_mantle",
                "elevenlabs",
                "gigachat",
                "huggingface",
                "hume",
                "ollama",
                "openai",
                "openrouter",
                "replicate",
                "sgl",
                "vllm",
            )
        ),
    )

    weight = Number(None, allow_none=True)  # left out, it would be 0 to a gateway
    number = Number(whole=True, attribute="id")
    name = Text()
    id = Text(attribute="key_id", dump_only=True)
    key_id = Text(load_only=True)
    value = Secret()
    models = TextList(attribute="models_json")
    enabled = Flag()
    use_for_batch_api = Flag()
    created_at = Timestamp()
    updated_at = Timestamp()
    config_hash = Text()
    azure_key_config = Related(MAKERS["azure"], dump_only=True)
    vertex_key_config = Related(MAKERS["vertex"], dump_only=True)
    bedrock_key_config = Related(MAKERS["bedrock"], dump_only=True)


class ProviderFileSchema(FileSchema):
    holds = ("keys", "provider", *LIMITS)
    passed_over = (
        "concurrency_and_buffer_size",
        "custom_provider_config",
        "description",
        "id",
        "network_config",
        "openai_config",
        "pricing_overrides",
        "provider_status",
        "proxy_config",
        "send_back_raw_request",
        "send_back_raw_response",
        "status",
        "store_raw_request_response",
    )

    number = Number(whole=True, attribute="id")
    name = NonEmpty(required=True)
    budget_id = Text()
    rate_limit_id = Text()
    config_hash = Text()
    created_at = Timestamp()
    updated_at = Timestamp()


class StdioFileSchema(FileSchema, StdioConfigSchema):
    """The command that starts an MCP server on the same machine."""


class TlsFileSchema(FileSchema, TlsConfigSchema):
    """The settings by which an MCP server's certificate is checked."""


class McpClientFileSchema(FileSchema):
    holds = ("id", "config")
    passed_over = (
        "discovered_tools",
        "is_ping_available",
        "needs_session_stickiness",
        "oauth_authorize_url",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_config",
        "oauth_registration_url",
        "oauth_resource",
        "oauth_scopes",
        "oauth_token_url",
        "state",
        "token_exchange",
        "tool_execution_timeout",
        "tool_sync_interval",
        "tools",
        "vk_configs",
    )

    number = Number(whole=True, attribute="id")
    client_id = Text()
    name = NonEmpty(required=True)
    is_code_mode_client = Flag()
    connection_type = Text()
    stdio_config = JsonShape(
        StdioConfigSchema, whole=False, attribute="stdio_config_json", dump_only=True
    )
    tls_config = JsonShape(
        TlsConfigSchema, whole=False, attribute="tls_config_json", dump_only=True
    )
    auth_type = Text()
    oauth_config_id = Text()
    headers = SecretHeaders(attribute="headers_json")
    allowed_extra_headers = TextList(attribute="allowed_extra_headers_json")
    tools_to_execute = TextList(attribute="tools_to_execute_json")
    tools_to_auto_execute = TextList(attribute="tools_to_auto_execute_json")
    tool_pricing = JsonText(dict, attribute="tool_pricing_json")
    allow_on_all_virtual_keys = Flag()
    per_user_header_keys = TextList(attribute="per_user_header_keys_json")
    disabled = Flag()
    config_hash = Text(load_only=True)
    created_at = Timestamp()
    updated_at = Timestamp()
    connection_string = ConnectionString()


class GovernanceFileSchema(FileSchema):
    holds = (
        "budgets",
        "rate_limits",
        "customers",
        "teams",
        "virtual_keys",
        "model_configs",
        "providers",
    )
    passed_over = (
        "auth_config",
        "business_units",
        "complexity_analyzer_config",
        "pricing_overrides",
        "roles",
        "routing_rules",
    )


class McpFileSchema(FileSchema):
    holds = ("client_configs",)
    passed_over = (
        "tool_groups",
        "tool_manager_config",
        "tool_sync_interval",
        "virtual_mcps",
    )


class ConfigFileSchema(FileSchema):
    """A whole `config.json`."""

    holds = ("governance", "mcp", "providers", "version")
    passed_over = (
        "$schema",
        "access_profiles",
        "alerting",
        "audit_logs",
        "auth_config",
        "circuit_breaker_config",
        "client",
        "cluster_config",
        "config_store",
        "encryption_key",
        "env_label",
        "feature_flags",
        "framework",
        "guardrails_config",
        "large_payload_optimization",
        "load_balancer_config",
        "logs_store",
        "plugins",
        "scim_config",
        "server",
        "setup_token",
        "skills_registry",
        "source_of_truth",
        "vault",
        "vector_store",
        "webhooks",
        "websocket",
    )


SCHEMAS: dict[Model, type[FileSchema]] = {
    Customer: CustomerFileSchema,
    Team: TeamFileSchema,
    VirtualKey: VirtualKeyFileSchema,
    Budget: BudgetFileSchema,
    RateLimit: RateLimitFileSchema,
    ProviderConfig: ProviderConfigFileSchema,
    ModelConfig: ModelConfigFileSchema,
    McpConfig: McpConfigFileSchema,
    ProviderKey: ProviderKeyFileSchema,
    McpClient: McpClientFileSchema,
    Provider: ProviderFileSchema,
}


@cache
def stored_fields(model: Model) -> dict[str, StoredField]:
    """Return the fields that files have for a model's columns, by column; not that of
    its number.
    """
    schema = SCHEMAS.get(model, FileSchema)
    return {
        field.attribute or name: field
        for name, field in loader(schema).fields.items()
        if isinstance(field, StoredField) and name != NUMBER
    }


@cache
def loader(schema: type[FileSchema]) -> FileSchema:
    return schema()


@cache
def known(schema: type[FileSchema]) -> frozenset[str]:
    """Return all names that gateways know in such a part of a file."""
    return frozenset((*loader(schema).fields, *schema.holds, *schema.passed_over))


@cache
def nullable(schema: type[FileSchema]) -> frozenset[str]:
    """Return the names for which null says something, not that they are not given."""
    names = loader(schema).fields.items()
    return frozenset(name for name, field in names if field.allow_none)
