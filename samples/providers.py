"""Believable providers, their keys and MCP clients, as rows."""

from collections.abc import Callable

import models
from samples.choices import MCP_CLIENTS, PROVIDERS, WEIGHTS, Draws
from samples.new_rows import NewRows
from values import json_text

Tick = Callable[[], None]


def add_providers(rows: NewRows, draws: Draws, tick: Tick) -> dict[str, list[int]]:
    """Add all providers with their keys; return the numbers of these by provider."""
    numbers: dict[str, list[int]] = {}
    for provider in PROVIDERS:
        tick()
        number = rows.add(models.Provider, name=provider)
        numbers[provider] = []
        for name in ("shared", "batch", "trial")[: 2 + number % 2]:
            tick()
            key = _add_provider_key(rows, draws, provider, number, name)
            numbers[provider].append(key)
    return numbers


def _add_provider_key(
    rows: NewRows, draws: Draws, provider: str, provider_id: int, name: str
) -> int:
    secret = f"env.{provider.upper()}_{name.upper()}"
    secrets = models.secret_columns(models.ProviderKey)
    own = [column for column in secrets if column.startswith(f"{provider}_")]
    return rows.add(
        models.ProviderKey,
        name=f"{provider}-{name}",
        provider_id=provider_id,
        provider=provider,
        key_id=draws.uuid(),
        value=f"{secret}_API_KEY",
        models_json=json_text(draws.some(PROVIDERS[provider], 2)),
        weight=draws.deal(WEIGHTS),
        enabled=int(name != "trial"),
        use_for_batch_api=int(name == "batch"),
        config_hash=draws.digest(),
        encryption_status="plain_text",
        **{c: f"{secret}{c.removeprefix(provider).upper()}" for c in own},
    )


def add_mcp_clients(rows: NewRows, draws: Draws, tick: Tick) -> None:
    for name, (connection_type, connection, tools) in MCP_CLIENTS.items():
        tick()
        stdio = {"command": f"{name}-mcp", "args": ["--read-only"], "envs": []}
        rows.add(
            models.McpClient,
            client_id=draws.uuid(),
            name=name,
            is_code_mode_client=int(not connection),
            connection_type=connection_type,
            connection_string=connection,
            stdio_config_json=None if connection else json_text(stdio),
            auth_type="headers",
            headers_json=json_text({"Authorization": f"env.{name.upper()}_MCP_TOKEN"}),
            allowed_extra_headers_json=json_text(["X-Trace"] if connection else []),
            tools_to_execute_json=json_text(tools),
            tools_to_auto_execute_json=json_text(tools[:1]),
            tool_pricing_json=json_text({tools[1]: 0.002}),
            allow_on_all_virtual_keys=int(name == "calendar"),
            disabled=int(name == "archive"),
            encryption_status="plain_text",
        )
