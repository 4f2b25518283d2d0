"""Gateway databases for the tests, made here in all table layouts."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import peewee
import pytest
from peewee import SqliteDatabase

import models

T0 = "2026-04-01 10:00:00+00:00"
T1 = "2026-04-01 10:00:00.000000001+00:00"
T2 = "2026-04-01 10:00:00.5+00:00"
T3 = "2026-04-02 09:30:00.175193779+00:00"

Layout = Literal["april", "may", "july", "own"]  # our own has all columns
LAYOUTS: tuple[Layout, ...] = ("april", "may", "july")
# Of a test that reads a database: how its tables are laid out must not matter.
in_all_layouts = pytest.mark.parametrize("layout", LAYOUTS)
# The columns that not all layouts have, by those that do.
_APRIL_MAY = """
Customer.budget_id Team.budget_id VirtualKey.budget_id ProviderConfig.budget_id
Budget.calendar_aligned
"""
_MAY_JULY = """
Budget.virtual_key_id Budget.provider_config_id VirtualKey.calendar_aligned
ProviderConfig.allow_all_keys McpClient.allowed_extra_headers_json
McpClient.allow_on_all_virtual_keys
"""
_JULY = """
Customer.calendar_aligned Team.calendar_aligned Team.source_id Budget.team_id
Budget.customer_id Budget.model_config_id VirtualKey.created_by_user_id
VirtualKey.expires_at ProviderConfig.blacklisted_models ModelConfig.scope
ModelConfig.scope_id ModelConfig.calendar_aligned McpClient.tls_config_json
McpClient.per_user_header_keys_json McpClient.disabled
"""
_HAVE: dict[str, tuple[Layout, ...]] = {
    **dict.fromkeys(_APRIL_MAY.split(), ("april", "may")),
    **dict.fromkeys(_MAY_JULY.split(), ("may", "july")),
    **dict.fromkeys(_JULY.split(), ("july",)),
}


def columns(model: type[peewee.Model], layout: Layout) -> list[models.Column]:
    """The columns that a model's table has in a layout, in their order."""
    return [
        field
        for field in model._meta.sorted_fields
        if layout in (*_HAVE.get(f"{model.__name__}.{field.name}", LAYOUTS), "own")
    ]


def create_table(
    database: peewee.Database,
    model: type[peewee.Model],
    layout: Layout,
    types: Mapping[str, str] | None = None,
) -> None:
    """Make a model's table and its indexes as a gateway of a layout has them; `types`
    are the database's names of the columns' types.
    """
    table = model._meta.table_name
    fields, types = columns(model, layout), types or {}
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


class Gateway:
    """A gateway's database file: rows go in by model and column, as they are stored.

    A column that the layout does not have is left out of the row, so that a test can
    say all it knows and run in all layouts.
    """

    def __init__(self, path: Path, layout: Layout = "july") -> None:
        self.path = path
        self.layout = layout
        database = SqliteDatabase(str(path), pragmas={"synchronous": "off"})
        with database.connection_context(), database.atomic():
            for model in models.MODELS:
                create_table(database, model, layout)

    @contextmanager
    def writer(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=10)
        connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def execute(self, sql: str, *values: Any) -> None:
        with self.writer() as connection:
            connection.execute(sql, values)

    def add(self, model: Any, **values: Any) -> None:
        """Insert a row. Lists and dicts go in as JSON text; times default to T0."""
        names = {c.name: c.column_name for c in columns(model, self.layout)}
        for name in ("created_at", "updated_at"):
            values.setdefault(name, T0)
        row = {names[n]: _stored(v) for n, v in values.items() if n in names}
        quoted = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        table = model._meta.table_name
        self.execute(
            f'INSERT INTO "{table}" ({quoted}) VALUES ({marks})', *row.values()
        )

    def customer(self, id: str, **values: Any) -> None:
        self.add(models.Customer, **{"id": id, "name": f"Customer {id}", **values})

    def team(self, id: str, customer_id: str | None = None, **values: Any) -> None:
        row = {"id": id, "name": f"Team {id}", "customer_id": customer_id, **values}
        self.add(models.Team, **row)

    def virtual_key(self, id: str, **values: Any) -> str:
        """Insert a virtual key and return its value; its hash is stored too."""
        value = values.setdefault("value", f"sk-bf-{id}-0000-fake")
        values.setdefault("value_hash", hashlib.sha256(value.encode()).hexdigest())
        values.setdefault("is_active", 1)
        values.setdefault("encryption_status", "plain_text")
        self.add(models.VirtualKey, **{"id": id, "name": f"Key {id}", **values})
        return str(value)

    def budget(
        self, id: str, owner: str = "", owner_id: Any = None, **values: Any
    ) -> None:
        """Insert a budget, linked to its owner the way this layout does it.

        `owner` is the column by which a July budget would name it ("team_id").
        """
        row = {
            "id": id,
            "max_limit": 100.0,
            "reset_duration": "1d",
            "current_usage": 0.0,
        }
        row |= {"last_reset": T0, **values}
        named = {column.name for column in columns(models.Budget, self.layout)}
        if owner in named:
            row[owner] = owner_id
        self.add(models.Budget, **row)
        if owner and owner not in named:
            table = models.BUDGET_OWNERS[owner]._meta.table_name
            self.execute(f"UPDATE {table} SET budget_id = ? WHERE id = ?", id, owner_id)

    def rate_limit(self, id: str, **values: Any) -> None:
        row = {"id": id, "token_current_usage": 0, "request_current_usage": 0, **values}
        self.add(models.RateLimit, **row)

    def provider_key(self, id: int, provider: str = "openai", **values: Any) -> None:
        row = {"id": id, "name": f"key-{id}", "key_id": f"uuid-{id}", "provider_id": 1}
        row |= {"provider": provider, "value": f"env.KEY_{id}", "enabled": 1, **values}
        self.add(models.ProviderKey, **row)

    def provider_config(
        self, id: int, virtual_key_id: str, keys: tuple[int, ...] = (), **values: Any
    ) -> None:
        row = {
            "id": id,
            "virtual_key_id": virtual_key_id,
            "provider": "openai",
            **values,
        }
        self.add(models.ProviderConfig, **row)
        for key in keys:
            self.add(
                models.ProviderConfigKey, provider_config_id=id, provider_key_id=key
            )

    def model_config(
        self,
        id: str,
        virtual_key_id: str | None = None,
        model_name: str = "*",
        provider: str | None = None,
        **values: Any,
    ) -> None:
        """Insert a model config of a virtual key, or of its provider config."""
        row = {"id": id, "scope": "virtual_key", "scope_id": virtual_key_id, **values}
        self.add(models.ModelConfig, model_name=model_name, provider=provider, **row)

    def mcp_client(self, id: int, **values: Any) -> None:
        row = {"id": id, "client_id": f"client-{id}", "name": f"mcp-{id}", **values}
        self.add(models.McpClient, **{"connection_type": "http", **row})

    def mcp_config(
        self, id: int, virtual_key_id: str, client: int, **values: Any
    ) -> None:
        row = {"id": id, "virtual_key_id": virtual_key_id, "mcp_client_id": client}
        self.add(models.McpConfig, **row, **values)


def fill(gateway: Gateway) -> None:
    """A little of everything, the same in all layouts: two customers, four teams
    (one of nobody), five virtual keys (of teams, of a customer, of nobody).
    """
    gateway.rate_limit("limit-1", token_max_limit=2**53 + 1, token_reset_duration="1h")
    gateway.customer("acme", name="Acme Freight", rate_limit_id="limit-1")
    gateway.customer("zenith", name="Zenith Labs", created_at=T3)
    gateway.team("acme-ops", "acme", name="Operations", profile={"tier": "gold"})
    gateway.team("acme-dev", "acme", name="Développement", created_at=T1)
    gateway.team("zenith-ml", "zenith", name="ML 分析", created_at=T2)
    gateway.team("lone", None, name="Skunkworks", created_at=T3)
    gateway.virtual_key("key-ops", team_id="acme-ops", description="nightly jobs")
    gateway.virtual_key("key-dev", team_id="acme-dev", is_active=0)
    gateway.virtual_key("key-acme", customer_id="acme", created_at=T2)
    gateway.virtual_key("key-lone", team_id="lone")
    gateway.virtual_key("key-nobody")
    gateway.provider_key(1, models_json=["gpt-4o"], weight=0.5)
    gateway.provider_key(2, "azure", value="plain-secret", azure_endpoint="env.AZURE")
    gateway.provider_config(1, "key-ops", (2, 1), weight=1.0, allowed_models=["gpt-4o"])
    gateway.mcp_client(
        1,
        name="tickets",
        connection_string="https://user:pw@tickets.example/mcp?key=hunter2",
        headers_json={"Authorization": "Bearer mcp-secret", "X-Env": "env.MCP"},
    )
    gateway.mcp_config(1, "key-ops", 1, tools_to_execute=["*"])
    gateway.budget("budget-acme", "customer_id", "acme", max_limit=1000.0)
    gateway.budget("budget-ops", "team_id", "acme-ops", current_usage=99.5)
    gateway.budget("budget-key", "virtual_key_id", "key-ops")
    gateway.budget("budget-config", "provider_config_id", 1)


def add_model_configs(gateway: Gateway) -> None:
    """Insert model configs: of two keys, of a provider config, of single models; and
    some of what is not there.
    """
    gateway.model_config("m-ops", "key-ops", rate_limit_id="limit-1")
    gateway.model_config("m-ops-again", "key-ops", created_at=T1)
    gateway.model_config("m-dev", "key-dev", calendar_aligned=1)
    gateway.model_config("m-openai", "key-ops", provider="openai", calendar_aligned=1)
    gateway.model_config("m-o3", "key-ops", "o3", "openai", rate_limit_id="limit-1")
    gateway.model_config("m-any-o3", "key-acme", "o3")
    gateway.model_config("m-azure", "key-ops", provider="azure")
    gateway.model_config("m-gone", "gone")
    gateway.model_config("m-global", scope="global")
    gateway.model_config("m-user", "key-lone", scope="user")
    ids = ("ops", "dev", "openai", "o3", "any-o3", "azure", "gone", "global", "user")
    for id in ids:
        gateway.budget(f"b-{id}", model_config_id=f"m-{id}")
    gateway.budget("b-ops-2", model_config_id="m-ops", created_at=T1)
    gateway.budget("b-two", model_config_id="m-any-o3", virtual_key_id="key-lone")


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def fill_amply(path: Path) -> None:
    """A customer of many teams: each team's answer holds them all again."""
    gateway = Gateway(path)
    gateway.customer("c")
    with gateway.writer() as connection:
        connection.executemany(
            "INSERT INTO governance_teams (id, name, customer_id) VALUES (?, ?, 'c')",
            [(f"team-{number}", f"Team {number}") for number in range(250)],
        )


def add_many_teams(gateway: Gateway) -> None:
    """Add 250 teams to the customer acme, so that the whole list is 12 MB."""
    with gateway.writer() as connection:
        connection.executemany(
            "INSERT INTO governance_teams (id, name, customer_id)"
            " VALUES (?, 'A team', 'acme')",
            [(f"team-{number}",) for number in range(250)],
        )
