"""What a gateway's files may say of each thing, as marshmallow schemas that load it.

Beside its fields, each schema names what else gateways know of the thing: the things
within it (`holds`), which have schemas of their own, and what no answer of ours needs
(`passed_over`). Whatever else a file says, it is alone in knowing. References from one
thing to another are merging.py's matter.
"""

from functools import cache
from typing import ClassVar

from marshmallow import EXCLUDE, Schema

from transfer.config_fields import (
    Arguments,
    Certificate,
    Command,
    ConnectionString,
    Duration,
    Flag,
    Members,
    Name,
    Names,
    NonEmpty,
    Number,
    Secret,
    Secrets,
    Time,
    Variables,
)

LIMITS = ("budget", "budgets", "rate_limit")


class FileSchema(Schema):
    """What all parts of the files share."""

    class Meta:
        unknown = EXCLUDE

    holds: ClassVar[tuple[str, ...]] = ()
    passed_over: ClassVar[tuple[str, ...]] = ()


class Timed(FileSchema):
    config_hash = Name()
    created_at = Time()
    updated_at = Time()


class BudgetFileSchema(Timed):
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
    calendar_aligned = Flag()
    last_reset = Time()
    current_usage = Number()
    team_id = Name()
    customer_id = Name()
    virtual_key_id = Name()
    provider_config_id = Number(whole=True)
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
    calendar_aligned = Flag()  # older files say it here; it is the owner's


class OwnerFileSchema(Timed):
    id = NonEmpty(required=True)
    name = Name()
    budget_id = Name()
    rate_limit_id = Name()
    calendar_aligned = Flag()


class CustomerFileSchema(OwnerFileSchema):
    holds = (*LIMITS, "teams", "virtual_keys")
    passed_over = ("virtual_key_count", "team_count")


class TeamFileSchema(OwnerFileSchema):
    holds = (*LIMITS, "customer", "virtual_keys")
    passed_over = ("virtual_key_count", "business_unit_id", "business_unit", "members")

    customer_id = Name()
    source_id = Name()
    profile = Members()
    config = Members()
    claims = Members()


class ProviderConfigFileSchema(FileSchema):
    holds = (*LIMITS, "keys", "allowed_keys", "key_ids", "model_budgets", "id")
    passed_over = ("virtual_key_id",)

    number = Number(whole=True)
    provider = NonEmpty(required=True)
    weight = Number(allow_none=True)
    allowed_models = Names()
    blacklisted_models = Names()
    allow_all_keys = Flag()
    budget_id = Name()
    rate_limit_id = Name()


class ModelBudgetFileSchema(FileSchema):
    """What one model may spend of what a provider config, or a key, may."""

    holds = LIMITS
    passed_over = ("rate_limit_id",)

    model_name = NonEmpty(required=True)


class McpConfigFileSchema(FileSchema):
    holds = ("mcp_client", "mcp_client_id", "mcp_client_name", "id")
    passed_over = ("virtual_key_id",)

    number = Number(whole=True)
    tools_to_execute = Names()


class VirtualKeyFileSchema(OwnerFileSchema):
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

    description = Name()
    is_active = Flag()
    team_id = Name()
    customer_id = Name()
    created_by_user_id = Name()
    expires_at = Time()


class ModelConfigFileSchema(Timed):
    holds = (*LIMITS, "budget_ids")
    passed_over = ("scope_name",)

    id = NonEmpty(required=True)
    model_name = NonEmpty(required=True)
    provider = Name()
    scope = Name()
    scope_id = Name()
    calendar_aligned = Flag()
    budget_id = Name()
    rate_limit_id = Name()


class AzureFileSchema(FileSchema):
    passed_over = ("scopes", "api_version", "deployments")

    endpoint = Secret()
    client_id = Secret()
    client_secret = Secret()
    tenant_id = Secret()


class VertexFileSchema(FileSchema):
    passed_over = ("deployments", "force_single_region")

    project_id = Secret()
    project_number = Secret()
    region = Secret()
    auth_credentials = Secret()


class BedrockFileSchema(FileSchema):
    passed_over = (
        "batch_s3_config",
        "deployments",
        "external_id",
        "project_id",
        "role_arn",
        "role_session_name",
        "session_name",
    )

    access_key = Secret()
    secret_key = Secret()
    session_token = Secret()
    region = Secret()
    arn = Secret()


# The makers whose keys have more to them, by what the columns' names begin with.
MAKERS: dict[str, type[FileSchema]] = {
    "azure": AzureFileSchema,
    "vertex": VertexFileSchema,
    "bedrock": BedrockFileSchema,
}


class ProviderKeyFileSchema(Timed):
    holds = (
        "id",
        "provider",
        "provider_id",
        *(f"{maker}_key_config" for maker in MAKERS),
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

    number = Number(whole=True)
    name = Name()
    key_id = Name()
    value = Secret()
    models = Names()
    weight = Number(allow_none=True)
    enabled = Flag()
    use_for_batch_api = Flag()


class ProviderFileSchema(Timed):
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

    number = Number(whole=True)
    name = NonEmpty(required=True)
    budget_id = Name()
    rate_limit_id = Name()


class StdioFileSchema(FileSchema):
    command = Command()
    args = Arguments()
    envs = Variables()


class TlsFileSchema(FileSchema):
    insecure_skip_verify = Flag()
    ca_cert_pem = Certificate()


class McpClientFileSchema(Timed):
    holds = ("id", "config", "stdio_config", "tls_config")
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

    number = Number(whole=True)
    client_id = Name()
    name = NonEmpty(required=True)
    is_code_mode_client = Flag()
    connection_type = Name()
    connection_string = ConnectionString()
    auth_type = Name()
    oauth_config_id = Name()
    headers = Secrets()
    allowed_extra_headers = Names()
    tools_to_execute = Names()
    tools_to_auto_execute = Names()
    tool_pricing = Members()
    allow_on_all_virtual_keys = Flag()
    per_user_header_keys = Names()
    disabled = Flag()


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
