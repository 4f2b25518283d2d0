"""Each entity: its keys in order, its values, what is derived for it."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from gateway import T1, T2, Gateway, in_all_layouts
from werkzeug.test import TestResponse

from schemas import (
    BudgetSchema,
    EntitySchema,
    McpClientSchema,
    ModelBudgetSchema,
    ProviderKeySchema,
    RateLimitSchema,
    Related,
    TeamSchema,
    VirtualKeySchema,
)

Get = Callable[..., TestResponse]

ZERO_TIME = "0001-01-01T00:00:00Z"

BUDGET = [
    "id",
    "max_limit",
    "reset_duration",
    "calendar_aligned",
    "last_reset",
    "current_usage",
    "config_hash",
    "created_at",
    "updated_at",
]
RATE_LIMIT = [
    "id",
    "token_max_limit",
    "token_reset_duration",
    "token_current_usage",
    "token_last_reset",
    "request_max_limit",
    "request_reset_duration",
    "request_current_usage",
    "request_last_reset",
    "config_hash",
    "created_at",
    "updated_at",
]
RATE_LIMIT_OPTIONAL = [
    "token_max_limit",
    "token_reset_duration",
    "request_max_limit",
    "request_reset_duration",
]
SECRETS = [
    "azure_endpoint",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "vertex_project_id",
    "vertex_project_number",
    "vertex_region",
    "vertex_auth_credentials",
    "bedrock_access_key",
    "bedrock_secret_key",
    "bedrock_session_token",
    "bedrock_region",
    "bedrock_arn",
]
PROVIDER_KEY = [
    "id",
    "name",
    "provider_id",
    "provider",
    "key_id",
    "value",
    "models",
    "weight",
    "enabled",
    "use_for_batch_api",
    "created_at",
    "updated_at",
    "config_hash",
]
PROVIDER_CONFIG = [
    "id",
    "virtual_key_id",
    "provider",
    "weight",
    "allowed_models",
    "blacklisted_models",
    "allow_all_keys",
    "rate_limit_id",
    "budgets",
    "rate_limit",
    "keys",
    "model_budgets",
]
PROVIDER_CONFIG_OPTIONAL = ["rate_limit_id", "rate_limit", "model_budgets"]
MODEL_BUDGET = ["model_name", "budgets", "rate_limit"]
MCP_CLIENT = [
    "client_id",
    "name",
    "is_code_mode_client",
    "connection_string",
    "stdio_config",
    "tls_config",
    "oauth_config_id",
    "headers",
    "tools_to_execute",
    "tools_to_auto_execute",
    "tool_pricing",
    "allow_on_all_virtual_keys",
    "per_user_header_keys",
    "disabled",
]
MCP_CLIENT_OPTIONAL = [
    "connection_string",
    "stdio_config",
    "tls_config",
    "oauth_config_id",
]
MCP_CONFIG = [
    "id",
    "virtual_key_id",
    "mcp_client_id",
    "mcp_client_name",
    "mcp_client",
    "tools_to_execute",
]
VIRTUAL_KEY = [
    "id",
    "name",
    "value",
    "description",
    "is_active",
    "provider_configs",
    "mcp_configs",
    "calendar_aligned",
    "team_id",
    "customer_id",
    "rate_limit_id",
    "team",
    "customer",
    "budgets",
    "rate_limit",
    "created_by_user_id",
    "model_budgets",
    "expires_at",
    "config_hash",
    "created_at",
    "updated_at",
]
VIRTUAL_KEY_OPTIONAL = [
    "team_id",
    "customer_id",
    "rate_limit_id",
    "team",
    "customer",
    "rate_limit",
    "created_by_user_id",
    "model_budgets",
    "expires_at",
]
TEAM = [
    "id",
    "name",
    "customer_id",
    "budget_id",
    "rate_limit_id",
    "customer",
    "budget",
    "budgets",
    "rate_limit",
    "virtual_keys",
    "calendar_aligned",
    "virtual_key_count",
    "profile",
    "config",
    "claims",
    "config_hash",
    "created_at",
    "updated_at",
]
TEAM_OPTIONAL = [
    "customer_id",
    "budget_id",
    "rate_limit_id",
    "customer",
    "budget",
    "rate_limit",
]
CUSTOMER = [
    "id",
    "name",
    "budget_id",
    "rate_limit_id",
    "budget",
    "budgets",
    "rate_limit",
    "calendar_aligned",
    "virtual_key_count",
    "teams",
    "virtual_keys",
    "config_hash",
    "created_at",
    "updated_at",
]
CUSTOMER_OPTIONAL = ["budget_id", "rate_limit_id", "budget", "rate_limit"]


def without(keys: list[str], left_out: list[str]) -> list[str]:
    return [key for key in keys if key not in left_out]


def team(get: Get, id: str = "t") -> dict[str, Any]:
    return next(row for row in get("teams").json["teams"] if row["id"] == id)


def customer(get: Get, id: str = "c") -> dict[str, Any]:
    rows = get("customers").json["customers"]
    return next(row for row in rows if row["id"] == id)


def virtual_key(get: Get) -> dict[str, Any]:
    return team(get)["virtual_keys"][0]


def provider_config(get: Get) -> dict[str, Any]:
    return virtual_key(get)["provider_configs"][0]


def ids(entities: list[dict[str, Any]]) -> list[Any]:
    return [entity["id"] for entity in entities]


def add_everything(gateway: Gateway) -> None:
    """One of each entity with all it can have: c, t, k, and 1 for the numbered."""
    gateway.customer("c", rate_limit_id="r")
    gateway.team("t", "c", rate_limit_id="r")
    gateway.rate_limit(
        "r",
        token_max_limit=1,
        token_reset_duration="1h",
        request_max_limit=2,
        request_reset_duration="1m",
    )
    gateway.virtual_key(
        "k",
        team_id="t",
        customer_id="c",
        rate_limit_id="r",
        created_by_user_id="u",
        expires_at=T2,
    )
    gateway.model_config("m", "k", "gpt-4o", rate_limit_id="r")
    gateway.model_config("n", "k", "gpt-4o", "openai", rate_limit_id="r")
    gateway.provider_key(1, **{secret: f"env.{secret.upper()}" for secret in SECRETS})
    gateway.provider_config(1, "k", (1,), rate_limit_id="r")
    gateway.mcp_client(
        1,
        connection_string="https://mcp.example/",
        stdio_config_json={"command": "npx", "args": ["-y"], "envs": ["HOME"]},
        tls_config_json={"insecure_skip_verify": True, "ca_cert_pem": "PEM"},
        oauth_config_id="oauth",
    )
    gateway.mcp_config(1, "k", 1)
    for owner, owner_id in {
        "customer_id": "c",
        "team_id": "t",
        "virtual_key_id": "k",
        "provider_config_id": 1,
    }.items():
        gateway.budget(f"b-{owner}", owner, owner_id)


def add_the_least(gateway: Gateway) -> None:
    """One of each entity with as little as it can have."""
    gateway.customer("c")
    gateway.team("t")
    gateway.virtual_key("k", team_id="t", created_at=T1)
    gateway.provider_key(1)
    gateway.provider_config(1, "k", (1,))
    gateway.mcp_client(1)
    gateway.mcp_config(1, "k", 1)


ENTITIES: dict[str, Callable[[Get], dict[str, Any]]] = {
    "customer": customer,
    "team": team,
    "virtual key": virtual_key,
    "provider config": provider_config,
    "model budget": lambda get: provider_config(get)["model_budgets"][0],
    "provider key": lambda get: provider_config(get)["keys"][0],
    "mcp config": lambda get: virtual_key(get)["mcp_configs"][0],
    "mcp client": lambda get: virtual_key(get)["mcp_configs"][0]["mcp_client"],
    "rate limit": lambda get: team(get)["rate_limit"],
}


@pytest.mark.parametrize(
    ("entity", "keys"),
    [
        ("customer", CUSTOMER),
        ("team", TEAM),
        ("virtual key", VIRTUAL_KEY),
        ("provider config", PROVIDER_CONFIG),
        ("model budget", MODEL_BUDGET),
        ("provider key", PROVIDER_KEY + SECRETS),
        ("mcp config", MCP_CONFIG),
        ("mcp client", MCP_CLIENT),
        ("rate limit", RATE_LIMIT),
    ],
)
def test_an_entity_with_everything_has_all_keys_in_order(
    gateway: Gateway, get: Get, entity: str, keys: list[str]
) -> None:
    add_everything(gateway)

    found = ENTITIES[entity](get)

    assert list(found) == keys


@pytest.mark.parametrize(
    ("entity", "keys"),
    [
        ("customer", without(CUSTOMER, CUSTOMER_OPTIONAL)),
        ("team", without(TEAM, TEAM_OPTIONAL)),
        ("virtual key", [*without(VIRTUAL_KEY, VIRTUAL_KEY_OPTIONAL)]),
        ("provider config", without(PROVIDER_CONFIG, PROVIDER_CONFIG_OPTIONAL)),
        ("provider key", PROVIDER_KEY),
        ("mcp config", MCP_CONFIG),
        ("mcp client", without(MCP_CLIENT, MCP_CLIENT_OPTIONAL)),
    ],
)
def test_an_entity_with_the_least_leaves_out_what_is_unset(
    gateway: Gateway, get: Get, entity: str, keys: list[str]
) -> None:
    add_the_least(gateway)

    found = ENTITIES[entity](get)

    attached = ["team_id", "team"] if entity == "virtual key" else []
    assert without(list(found), attached) == keys


def test_a_rate_limit_with_the_least_leaves_out_what_is_unset() -> None:
    dumped = RateLimitSchema().dump({"id": "r"})

    assert list(dumped) == without(RATE_LIMIT, RATE_LIMIT_OPTIONAL)


def test_a_model_budget_with_the_least_leaves_out_what_is_unset() -> None:
    dumped = ModelBudgetSchema().dump({"model_name": "o3", "budgets": []})

    assert dumped == {"model_name": "o3", "budgets": []}


@pytest.mark.parametrize("never", [None, "", "0001-01-01 00:00:00+00:00", "soon"])
def test_a_key_that_never_expires_has_no_expires_at(never: str | None) -> None:
    assert "expires_at" not in VirtualKeySchema().dump({"expires_at": never})


def test_empty_text_counts_as_unset(gateway: Gateway, get: Get) -> None:
    gateway.team("t", "", budget_id="", rate_limit_id="", config_hash="", profile="")

    found = team(get)

    assert list(found) == without(TEAM, TEAM_OPTIONAL)


@in_all_layouts
@pytest.mark.parametrize(
    ("owner", "owner_keys"),
    [
        ("customer_id", ["customer_id"]),
        ("team_id", ["team_id"]),
        ("virtual_key_id", ["virtual_key_id"]),
        ("provider_config_id", ["provider_config_id"]),
    ],
)
def test_a_budget_names_its_owner_last_in_all_layouts(
    filled: Gateway, get: Get, owner: str, owner_keys: list[str]
) -> None:
    acme = customer(get, "acme")
    key = acme["teams"][0]["virtual_keys"][0]
    entities = {
        "customer_id": acme,
        "team_id": acme["teams"][0],
        "virtual_key_id": key,
        "provider_config_id": key["provider_configs"][0],
    }

    (budget,) = entities[owner]["budgets"]

    assert list(budget) == BUDGET + owner_keys
    assert [budget[key] for key in owner_keys] == [
        entities[owner]["id"] for _ in owner_keys
    ]


def test_an_env_value_has_its_three_keys_in_order(gateway: Gateway, get: Get) -> None:
    add_everything(gateway)

    (key,) = provider_config(get)["keys"]

    assert list(key["value"]) == ["value", "env_var", "from_env"]


@pytest.mark.parametrize(
    ("stored", "env_var", "from_env"),
    [
        ("env.OPENAI_KEY", "env.OPENAI_KEY", True),
        ("sk-fake-plain-secret", "", False),
        ("ENV.OPENAI_KEY", "", False),
        (" env.OPENAI_KEY", "", False),
        ("environment", "", False),
        ("my-env.KEY", "", False),
        ("vault.kv/openai#key", "vault.kv/openai#key", False),
        ("vaults", "", False),
        ('{"value":"sk-fake","ref":"env.KEY","type":"env"}', "env.KEY", True),
        ('{"value":"sk-fake","ref":"vault.k","type":"vault"}', "vault.k", False),
        ('{"value":"sk-fake","env_var":"env.KEY","from_env":true}', "env.KEY", True),
        ('{"value":"sk-fake","ref":"","type":"plain_text"}', "", False),
        ('{"value":"env.KEY"}', "env.KEY", True),
        ('{"type":"service_account"}', "", False),
        ('{"value":', "", False),
    ],
)
def test_an_env_value_shows_the_variable_and_never_the_value(
    stored: str, env_var: str, from_env: bool
) -> None:
    columns = ["value", "azure_endpoint", "bedrock_secret_key"]

    dumped = ProviderKeySchema().dump(dict.fromkeys(columns, stored))

    shown = {"value": "", "env_var": env_var, "from_env": from_env}
    assert [dumped[column] for column in columns] == [shown] * 3


@pytest.mark.parametrize("unset", [None, ""])
def test_an_unset_secret_is_left_out_but_the_keys_value_is_not(
    unset: str | None,
) -> None:
    dumped = ProviderKeySchema().dump({"value": unset, "azure_endpoint": unset})

    assert dumped["value"] == {"value": "", "env_var": "", "from_env": False}
    assert "azure_endpoint" not in dumped


def test_headers_are_env_values_by_name(gateway: Gateway, get: Get) -> None:
    add_the_least(gateway)
    stored = {
        "X-Plain": "mcp-secret",
        "X-Env": "env.MCP",
        "X-Object": {"value": "mcp-secret", "env_var": "env.NEW", "from_env": True},
        "X-Object-Plain": {"value": "mcp-secret", "env_var": "", "from_env": False},
        "X-Ref": {"value": "mcp-secret", "ref": "vault.mcp#key", "type": "vault"},
        "X-Ref-Plain": {"value": "mcp-secret", "type": "plain_text"},
    }
    gateway.execute("UPDATE config_mcp_clients SET headers_json=?", json.dumps(stored))

    headers = ENTITIES["mcp client"](get)["headers"]

    assert headers == {
        "X-Plain": {"value": "", "env_var": "", "from_env": False},
        "X-Env": {"value": "", "env_var": "env.MCP", "from_env": True},
        "X-Object": {"value": "", "env_var": "env.NEW", "from_env": True},
        "X-Object-Plain": {"value": "", "env_var": "", "from_env": False},
        "X-Ref": {"value": "", "env_var": "vault.mcp#key", "from_env": False},
        "X-Ref-Plain": {"value": "", "env_var": "", "from_env": False},
    }


def test_no_provider_secret_is_in_any_answer(
    filled: Gateway, get: Get, name: str
) -> None:
    body = get(name).data

    secrets = [b"plain-secret", b"mcp-secret", b"hunter2", b"user:pw"]
    assert [secret for secret in secrets if secret in body] == []


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("https://host.example/mcp", "https://host.example/mcp"),
        ("https://user:pw@host.example/mcp", "https://***@host.example/mcp"),
        ("https://token@host.example", "https://***@host.example"),
        ("https://a@b@host.example/mcp", "https://***@host.example/mcp"),
        ("https://:pw@host.example:8443/mcp", "https://***@host.example:8443/mcp"),
        ("//user:pw@host.example/mcp", "//***@host.example/mcp"),
        ("user:pw@host.example/mcp", "***@host.example/mcp"),
        ("HTTPS://user:pw@host.example", "HTTPS://***@host.example"),
        ("https://user:pw@[::1]:80/mcp", "https://***@[::1]:80/mcp"),
        ("https://host.example/mcp?key=s", "https://host.example/mcp?key=***"),
        ("https://host.example/?a=s&b=s", "https://host.example/?a=***&b=***"),
        ("https://host.example?a=s=s", "https://host.example?a=***"),
        ("https://host.example?a=s;b=s", "https://host.example?a=***"),
        ("https://host.example?s", "https://host.example?***"),
        ("https://host.example?", "https://host.example?"),
        ("https://host.example?mail=a@b.example", "https://host.example?mail=***"),
        ("https://u:p@host.example/mcp?key=s", "https://***@host.example/mcp?key=***"),
        ("https://u:p@host.example?k=u:p@x", "https://***@host.example?k=***"),
        ("https://host.example/a@b/mcp", "https://host.example/a@b/mcp"),
        ("https://host.example?k=s#top", "https://host.example?k=***#top"),
        ("env.MCP_URL", "env.MCP_URL"),
        ("env.MCP_URL?key=a@b", "env.MCP_URL?key=a@b"),
        ("vault.kv/mcp#url", "vault.kv/mcp#url"),
        ('{"value":"https://a:b@h","ref":"env.URL","type":"env"}', "env.URL"),
        ('{"value":"https://a:b@h/?k=s","type":"plain_text"}', "https://***@h/?k=***"),
    ],
)
def test_a_connection_string_is_masked_where_credentials_could_be(
    stored: str, shown: str
) -> None:
    dumped = McpClientSchema().dump({"connection_string": stored})

    assert dumped["connection_string"] == shown


MASKED_ARGUMENTS = [
    (["-y", "server@1.2", "--port=80"], ["-y", "server@1.2", "--port=80"]),
    (["API_KEY=s"], ["API_KEY=***"]),
    (["--token=s"], ["--token=***"]),
    (["--token="], ["--token=***"]),
    (["--api-key", "s", "-x"], ["--api-key", "***", "-x"]),
    (["-password", "s"], ["-password", "***"]),
    (["--Secret", "--auth", "s"], ["--Secret", "***", "***"]),
    (["--CREDENTIALS=a=b"], ["--CREDENTIALS=***"]),
    (["token", "s"], ["token", "s"]),
    (["--verbose", "s"], ["--verbose", "s"]),
    (["--auth"], ["--auth"]),
    (["https://u:p@h/mcp?k=s"], ["https://***@h/mcp?k=***"]),
    (["https://h/key?a=s&b=s"], ["https://h/key?a=***&b=***"]),
    (["--url=https://u:p@h/?a=s"], ["--url=https://***@h/?a=***"]),
    (["-e", "DB=postgres://u:p@h/db"], ["-e", "DB=postgres://***@h/db"]),
    (["--env=API_KEY=s"], ["--env=API_KEY=***"]),
    (["--header", "Authorization: Bearer s"], ["--header", "Authorization: ***"]),
    (["-H", "X-Api-Key:s"], ["-H", "X-Api-Key:***"]),
    (["-H", "Bearer s"], ["-H", "Bearer ***"]),
    (["--config", '{"apiKey": "s"}'], ["--config", '{"apiKey": ***']),
]


@pytest.mark.parametrize(("stored", "shown"), MASKED_ARGUMENTS)
def test_arguments_are_masked_where_credentials_could_be(
    stored: list[str], shown: list[str]
) -> None:
    config = json.dumps({"command": "npx", "args": stored})

    dumped = McpClientSchema().dump({"stdio_config_json": config})

    assert dumped["stdio_config"] == {"command": "npx", "args": shown, "envs": []}


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ({"envs": ["HOME", "KEY=s", "PORT=80="]}, ["HOME", "KEY=***", "PORT=***"]),
        ({"envs": ["HOME", 5]}, []),
    ],
)
def test_environment_variables_are_shown_without_their_values(
    stored: dict[str, Any], shown: list[str]
) -> None:
    dumped = McpClientSchema().dump({"stdio_config_json": json.dumps(stored)})

    assert dumped["stdio_config"]["envs"] == shown


def test_a_command_that_holds_arguments_is_masked_like_them() -> None:
    config = json.dumps({"command": "npx server --token s API_KEY=s"})

    dumped = McpClientSchema().dump({"stdio_config_json": config})

    assert dumped["stdio_config"]["command"] == "npx server --token *** API_KEY=***"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        ("-----BEGIN RSA PRIVATE KEY-----\ns", "***"),
        ("env.MCP_CA", "env.MCP_CA"),
        ({"value": "PEM", "ref": "env.MCP_CA", "type": "env"}, "env.MCP_CA"),
        ({"value": "PEM", "env_var": "env.MCP_CA", "from_env": True}, "env.MCP_CA"),
        ({"value": "PEM", "type": "plain_text"}, "PEM"),
        (5, ""),
    ],
)
def test_a_certificate_is_shown_but_for_private_keys(stored: Any, shown: str) -> None:
    config = json.dumps({"ca_cert_pem": stored})

    dumped = McpClientSchema().dump({"tls_config_json": config})

    expected = {"insecure_skip_verify": False, "ca_cert_pem": shown}
    assert dumped["tls_config"] == expected


@pytest.mark.parametrize("reference", ["env.MCP_URL", "vault.kv/mcp#url"])
def test_where_a_connection_string_is_read_from_is_shown_in_encrypted_rows(
    reference: str,
) -> None:
    row = {"connection_string": reference, "encryption_status": "encrypted"}

    dumped = McpClientSchema().dump(row)

    assert dumped["connection_string"] == reference


@pytest.mark.parametrize("status", ["plain_text", "", None])
def test_a_connection_string_is_shown_unless_it_is_encrypted(
    gateway: Gateway, get: Get, status: str | None
) -> None:
    add_everything(gateway)
    gateway.execute("UPDATE config_mcp_clients SET encryption_status = ?", status)

    client = ENTITIES["mcp client"](get)

    assert client["connection_string"] == "https://mcp.example/"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-11-21 22:11:06.175193779+00:00", "2026-11-21T22:11:06.175193779Z"),
        ("2026-11-21 22:11:06.000000001+00:00", "2026-11-21T22:11:06.000000001Z"),
        ("2026-11-21 22:11:06.500000000+00:00", "2026-11-21T22:11:06.5Z"),
        ("2026-11-21 22:11:06.21796820+00:00", "2026-11-21T22:11:06.2179682Z"),
        ("2026-11-21 22:11:06.000000000+00:00", "2026-11-21T22:11:06Z"),
        ("2026-11-21 22:11:06+00:00", "2026-11-21T22:11:06Z"),
        ("2026-11-21T22:11:06Z", "2026-11-21T22:11:06Z"),
        ("2026-11-21T22:11:06.25Z", "2026-11-21T22:11:06.25Z"),
        ("2026-11-21 22:11:06", "2026-11-21T22:11:06Z"),
        ("2026-11-21 22:11:06.1+05:30", "2026-11-21T16:41:06.1Z"),
        ("2026-12-31 20:30:00-08:00", "2027-01-01T04:30:00Z"),
        ("2024-03-01 00:30:00.000000009+01:00", "2024-02-29T23:30:00.000000009Z"),
        ("2026-11-21 22:11:06.175193779 +0000 UTC", "2026-11-21T22:11:06.175193779Z"),
        ("9999-12-31 23:59:59.999999999+00:00", "9999-12-31T23:59:59.999999999Z"),
        ("1969-12-31 23:59:59.5+00:00", "1969-12-31T23:59:59.5Z"),
        ("0001-01-01 00:00:00+00:00", ZERO_TIME),
        ("", ZERO_TIME),
        (None, ZERO_TIME),
    ],
)
@pytest.mark.parametrize("column", ["created_at", "last_reset"])
def test_a_timestamp_is_rfc_3339_in_utc_with_all_its_digits(
    stored: str | None, shown: str, column: str
) -> None:
    dumped = BudgetSchema().dump({column: stored})

    assert dumped[column] == shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (1000.0, b"1000"),
        (0.0, b"0"),
        (-0.0, b"0"),
        (-5.0, b"-5"),
        (100.5, b"100.5"),
        (0.001, b"0.001"),
        (24.358361, b"24.358361"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (1e15, b"1000000000000000"),
        (2.0**62, b"4611686018427387904"),
        (1000, b"1000"),
        (2**53 + 1, b"9007199254740993"),
        (2**63 - 1, b"9223372036854775807"),
        (-(2**63), b"-9223372036854775808"),
        (None, b"0"),
    ],
)
def test_a_whole_number_has_no_fraction_and_an_integer_is_exact(
    stored: float | None, shown: bytes
) -> None:
    dumped = BudgetSchema().dump({"max_limit": stored})

    assert orjson.dumps(dumped["max_limit"]) == shown


@pytest.mark.parametrize("limit", [0, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_a_rate_limits_integer_is_exact_in_the_answer(
    gateway: Gateway, get: Get, limit: int
) -> None:
    gateway.rate_limit("r", token_max_limit=limit, request_current_usage=limit)
    gateway.team("t", rate_limit_id="r")

    body = get("teams").data

    assert f'"token_max_limit":{limit},'.encode() in body
    assert f'"request_current_usage":{limit},'.encode() in body


def test_numbers_within_json_follow_the_same_rules(gateway: Gateway, get: Get) -> None:
    gateway.team("t", claims='{"a":1.0,"b":[9007199254740993,{"c":-2.0,"d":0.5}]}')

    body = get("teams").data

    assert b'"claims":{"a":1,"b":[9007199254740993,{"c":-2,"d":0.5}]}' in body


@pytest.mark.parametrize(
    ("stored", "shown"), [(None, None), (0.0, 0), (1.0, 1), (0.25, 0.25)]
)
def test_a_weight_is_a_number_or_null(
    gateway: Gateway, get: Get, stored: float | None, shown: float | None
) -> None:
    gateway.team("t")
    gateway.virtual_key("k", team_id="t")
    gateway.provider_key(1, weight=stored)
    gateway.provider_config(1, "k", (1,), weight=stored)

    config = provider_config(get)

    assert (config["weight"], config["keys"][0]["weight"]) == (shown, shown)


@pytest.mark.parametrize(
    ("stored", "shown"), [(None, True), (1, True), (0, False), ("false", False)]
)
def test_is_active_and_enabled_unset_mean_true(stored: Any, shown: bool) -> None:
    key = VirtualKeySchema().dump({"is_active": stored})
    provider_key = ProviderKeySchema().dump({"enabled": stored})

    assert (key["is_active"], provider_key["enabled"]) == (shown, shown)


@pytest.mark.parametrize("column", ["use_for_batch_api"])
def test_other_flags_unset_mean_false(column: str) -> None:
    dumped = ProviderKeySchema().dump({column: None})

    assert dumped[column] is False


@pytest.mark.parametrize("unset", [None, ""])
def test_unset_text_is_empty_text(unset: str | None) -> None:
    dumped = VirtualKeySchema().dump({"description": unset, "config_hash": unset})

    assert (dumped["description"], dumped["config_hash"]) == ("", "")


@pytest.mark.parametrize("column", ["profile", "config", "claims"])
@pytest.mark.parametrize("unset", [None, "", "null", "{}"])
def test_unset_json_is_an_empty_object(column: str, unset: str | None) -> None:
    dumped = TeamSchema().dump({column: unset})

    assert dumped[column] == {}


def test_json_is_shown_as_it_is_stored(gateway: Gateway, get: Get) -> None:
    profile = {"z": None, "a": ["ü", "\u0000", '"<&>'], "n": {"分析": True}}
    gateway.team("t", profile=profile)

    found = team(get)["profile"]

    assert (found, list(found)) == (profile, ["z", "a", "n"])


def test_text_of_any_script_is_shown_as_it_is_stored(
    gateway: Gateway, get: Get
) -> None:
    name = 'Nightly "batch" <jobs> & co\n\t\\ ünï 分析 🚀 \u2028'
    gateway.team("t", name=name)

    found = team(get)

    assert found["name"] == name


def test_all_budgets_of_an_owner_come_by_creation_and_then_by_id(
    gateway: Gateway, get: Get
) -> None:
    gateway.team("t")
    gateway.team("other")
    gateway.budget("spurious", "team_id", "other")
    gateway.budget("a", "team_id", "t", created_at=T2)
    gateway.budget("c", "team_id", "t", created_at=T1)
    gateway.budget("b", "team_id", "t", created_at=T1)

    found = team(get)

    assert ids(found["budgets"]) == ["b", "c", "a"]


def test_budget_is_the_first_where_no_budget_id_names_one(
    gateway: Gateway, get: Get
) -> None:
    gateway.team("t")
    gateway.budget("later", "team_id", "t", created_at=T2)
    gateway.budget("first", "team_id", "t", created_at=T1)

    found = team(get)

    assert found["budget"] == found["budgets"][0]
    assert found["budget_id"] == found["budget"]["id"] == "first"


def test_budget_is_the_one_named_by_budget_id(gateway: Gateway, get: Get) -> None:
    gateway.execute("ALTER TABLE governance_teams ADD COLUMN budget_id TEXT")
    gateway.team("t")
    gateway.budget("first", "team_id", "t", created_at=T1)
    gateway.budget("named", "team_id", "t", created_at=T2)
    gateway.execute("UPDATE governance_teams SET budget_id = 'named'")

    found = team(get)

    assert (found["budget_id"], found["budget"]["id"]) == ("named", "named")
    assert ids(found["budgets"]) == ["first", "named"]


@pytest.mark.parametrize("layout", ["april"])
def test_a_budget_that_two_owners_name_names_each_of_them(
    filled: Gateway, get: Get
) -> None:
    filled.team("t", budget_id="shared")
    filled.team("u", budget_id="shared")
    filled.budget("shared")

    owners = [team(get, id)["budget"]["team_id"] for id in ("t", "u")]

    assert owners == ["t", "u"]


def test_a_budget_of_nobody_is_nowhere(filled: Gateway, get: Get) -> None:
    filled.budget("budget-of-nobody")

    bodies = [get(name).data for name in ("teams", "customers")]

    assert all(b"budget-of-nobody" not in body for body in bodies)


@pytest.mark.parametrize("owner", ["team_id", "customer_id"])
def test_a_budget_without_calendar_aligned_has_its_owners(
    filled: Gateway, get: Get, owner: str
) -> None:
    filled.customer("c", calendar_aligned=int(owner == "customer_id"))
    filled.team("t", "c", calendar_aligned=int(owner == "team_id"))
    filled.budget("team", "team_id", "t")
    filled.budget("customer", "customer_id", "c")

    aligned = {
        "team_id": team(get)["budget"]["calendar_aligned"],
        "customer_id": customer(get)["budget"]["calendar_aligned"],
    }

    assert aligned == {"team_id": False, "customer_id": False, owner: True}


@pytest.mark.parametrize("aligned", [True, False])
def test_a_provider_configs_budget_has_its_virtual_keys_calendar_aligned(
    gateway: Gateway, get: Get, aligned: bool
) -> None:
    gateway.team("t", calendar_aligned=int(not aligned))
    gateway.virtual_key("k", team_id="t", calendar_aligned=int(aligned))
    gateway.provider_config(1, "k")
    gateway.budget("of-key", "virtual_key_id", "k")
    gateway.budget("of-config", "provider_config_id", 1)

    key = virtual_key(get)

    budgets = key["budgets"] + key["provider_configs"][0]["budgets"]
    assert [budget["calendar_aligned"] for budget in budgets] == [aligned, aligned]


@pytest.mark.parametrize("layout", ["april"])
@pytest.mark.parametrize("aligned", [True, False])
def test_an_older_virtual_key_is_aligned_if_its_own_budget_is(
    filled: Gateway, get: Get, aligned: bool
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.provider_config(9, "k")
    filled.budget("b", "virtual_key_id", "k", calendar_aligned=int(aligned))
    filled.budget("c", "provider_config_id", 9, calendar_aligned=int(not aligned))

    key = virtual_key(get)

    assert key["calendar_aligned"] is aligned


@pytest.mark.parametrize("layout", ["april"])
def test_an_older_budget_keeps_its_own_calendar_aligned(
    filled: Gateway, get: Get
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.provider_config(9, "k")
    filled.budget("b", "virtual_key_id", "k", calendar_aligned=0)
    filled.budget("c", "provider_config_id", 9, calendar_aligned=1)

    (budget,) = provider_config(get)["budgets"]

    assert budget["calendar_aligned"] is True


@pytest.mark.parametrize("layout", ["april"])
@pytest.mark.parametrize(("keys", "allowed"), [((), True), ((1,), False)])
def test_in_an_older_layout_no_attached_keys_means_all_are_allowed(
    filled: Gateway, get: Get, keys: tuple[int, ...], allowed: bool
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.provider_config(9, "k", keys)

    config = provider_config(get)

    assert config["allow_all_keys"] is allowed


@pytest.mark.parametrize("keys", [(), (1,)])
@pytest.mark.parametrize("allowed", [True, False])
def test_in_a_newer_layout_allow_all_keys_is_as_stored(
    gateway: Gateway, get: Get, keys: tuple[int, ...], allowed: bool
) -> None:
    gateway.team("t")
    gateway.virtual_key("k", team_id="t")
    gateway.provider_key(1)
    gateway.provider_config(9, "k", keys, allow_all_keys=int(allowed))

    config = provider_config(get)

    assert config["allow_all_keys"] is allowed


@in_all_layouts
@pytest.mark.parametrize(
    ("reference", "object"),
    [("customer_id", "customer"), ("rate_limit_id", "rate_limit")],
)
def test_a_teams_dangling_reference_keeps_the_id_and_no_object(
    filled: Gateway, get: Get, reference: str, object: str
) -> None:
    filled.team("t", **{reference: "gone"})

    found = team(get)

    assert found[reference] == "gone"
    assert object not in found


@pytest.mark.parametrize("layout", ["april"])
def test_a_dangling_budget_id_stays_and_the_budget_is_left_out(
    filled: Gateway, get: Get
) -> None:
    filled.customer("c", budget_id="gone")

    found = customer(get)

    assert (found["budget_id"], found["budgets"]) == ("gone", [])
    assert "budget" not in found


@in_all_layouts
@pytest.mark.parametrize(
    ("reference", "object"),
    [("customer_id", "customer"), ("rate_limit_id", "rate_limit")],
)
def test_a_virtual_keys_dangling_reference_keeps_the_id_and_no_object(
    filled: Gateway, get: Get, reference: str, object: str
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t", **{reference: "gone"})

    key = virtual_key(get)

    assert key[reference] == "gone"
    assert object not in key


def test_a_virtual_key_of_a_missing_team_keeps_its_id_within_the_customer(
    filled: Gateway, get: Get
) -> None:
    filled.customer("c")
    filled.virtual_key("k", customer_id="c", team_id="gone")

    (key,) = customer(get)["virtual_keys"]

    assert (key["team_id"], key["customer"]) == ("gone", {})
    assert "team" not in key


def test_an_mcp_config_of_a_missing_client_keeps_its_id(
    filled: Gateway, get: Get
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.mcp_config(9, "k", 404)

    (config,) = virtual_key(get)["mcp_configs"]

    assert list(config) == without(MCP_CONFIG, ["mcp_client"])
    assert (config["mcp_client_id"], config["mcp_client_name"]) == (404, "")


def test_a_missing_attached_key_is_left_out_of_keys(filled: Gateway, get: Get) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.provider_config(9, "k", (404, 1))

    config = provider_config(get)

    assert ids(config["keys"]) == [1]


def test_provider_configs_mcp_configs_and_keys_come_by_id(
    filled: Gateway, get: Get
) -> None:
    filled.team("t")
    filled.virtual_key("k", team_id="t")
    filled.mcp_client(2)
    filled.provider_key(10)
    filled.provider_config(30, "k", (10, 2, 1))
    filled.provider_config(4, "k")
    filled.mcp_config(30, "k", 1)
    filled.mcp_config(4, "k", 2)

    key = virtual_key(get)

    assert (ids(key["provider_configs"]), ids(key["mcp_configs"])) == ([4, 30], [4, 30])
    assert ids(key["provider_configs"][1]["keys"]) == [1, 2, 10]


def test_numeric_ids_are_integers(filled: Gateway, get: Get) -> None:
    key = team(get, "acme-ops")["virtual_keys"][0]

    config, mcp = key["provider_configs"][0], key["mcp_configs"][0]
    numeric = [config["id"], config["keys"][0]["id"], mcp["id"], mcp["mcp_client_id"]]
    assert all(type(each) is int for each in numeric)
    assert type(config["budgets"][0]["provider_config_id"]) is int


def test_an_mcp_config_has_its_clients_name(filled: Gateway, get: Get) -> None:
    (config,) = team(get, "acme-ops")["virtual_keys"][0]["mcp_configs"]

    assert config["mcp_client_name"] == config["mcp_client"]["name"] == "tickets"


def test_a_virtual_keys_value_is_in_clear_for_a_management_key_and_an_admin(
    filled: Gateway, get: Get, api_key: str, admin_jwt: str, source: str
) -> None:
    shown = [
        get("teams", token=token, source=source).json["teams"][0]["virtual_keys"][0]
        for token in (api_key, admin_jwt)
    ]

    assert [key["value"] for key in shown] == ["sk-bf-key-ops-0000-fake"] * 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("sk-bf-0123456789", "sk-b" + "*" * 24 + "6789"),
        ("123456789", "1234" + "*" * 24 + "6789"),
        ("12345678", "********"),
        ("1", "*"),
    ],
)
def test_every_value_is_masked_for_a_virtual_key(
    gateway: Gateway, get: Get, source: str, value: str, shown: str
) -> None:
    gateway.customer("c")
    gateway.team("t", "c")
    caller = gateway.virtual_key("caller", team_id="t", created_at=T2)
    gateway.virtual_key("masked", team_id="t", value=value)
    gateway.virtual_key("within", customer_id="c", value="w" * 9)

    answer = get("teams", token=caller, source=source)

    (found,) = answer.json["teams"]
    assert found["virtual_keys"][0]["value"] == shown
    assert found["customer"]["virtual_keys"][0]["value"] == f"wwww{'*' * 24}wwww"


def test_an_encrypted_value_is_empty_for_everyone(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.team("t")
    caller = gateway.virtual_key("caller", team_id="t")
    gateway.virtual_key(
        "k", team_id="t", value="Y2lwaGVydGV4dA==", encryption_status="encrypted"
    )

    answers = [
        get("teams", source=source),
        get("teams", token=caller, source=source),
    ]

    keys = [answer.json["teams"][0]["virtual_keys"] for answer in answers]
    assert [key["value"] for _, key in keys] == ["", ""]


def test_an_encrypted_mcp_client_shows_no_ciphertext(
    gateway: Gateway, get: Get
) -> None:
    add_the_least(gateway)
    gateway.execute(
        "UPDATE config_mcp_clients SET encryption_status = 'encrypted',"
        " connection_string = 'Y2lwaGVydGV4dA==', headers_json = 'Y2lwaGVydGV4dA=='"
    )

    body = get("teams").data

    assert b"Y2lwaGVydGV4dA" not in body


# Rows dumped the quick way


ODD = (None, "", "text", b"bytes", b"\xff", 0, 1, 2**63, -1, 1.0, 1.5, float("inf"))
ODD += (True, "true", "env.NAME", "https://a:b@host/?k=v", "[]", '["a"]', "[1]", "{}")
ODD += ('{"a": "env.A"}', "{", "2026-04-01 10:00:00+02:00", "0001-01-01T00:00:00Z")


@pytest.mark.parametrize("status", ["encrypted", "plain_text"])
@pytest.mark.parametrize("schema", EntitySchema.__subclasses__())
def test_a_row_is_dumped_as_by_marshmallow_whatever_is_stored(
    schema: type[EntitySchema], status: str
) -> None:
    dumping = schema()
    stored = [
        field.attribute or name
        for name, field in dumping.dump_fields.items()
        if not isinstance(field, Related)
    ]

    for value in ODD:
        row = dict.fromkeys(stored, value) | {"encryption_status": status}
        assert dumping.dump_row(row) == dumping.dump(row)
        assert [*dumping.dump_row(row)] == [*dumping.dump(row)]
