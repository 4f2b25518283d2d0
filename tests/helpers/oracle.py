"""Both lists as the contract says, worked out slowly and independently.

Plain SQL rows and dicts, for databases of July gateways in which every value can be
read. It shares no code with the service; test_oracle.py compares the two.
"""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

Row = dict[str, Any]

TABLES = {
    "customers": "governance_customers",
    "teams": "governance_teams",
    "keys": "governance_virtual_keys",
    "budgets": "governance_budgets",
    "limits": "governance_rate_limits",
    "configs": "governance_virtual_key_provider_configs",
    "links": "governance_virtual_key_provider_config_keys",
    "models": "governance_model_configs",
    "provider_keys": "config_keys",
    "mcp_configs": "governance_virtual_key_mcp_configs",
    "mcp_clients": "config_mcp_clients",
}
ZERO_TIME = "0001-01-01T00:00:00Z"
# What test_oracle.py stores of URLs and arguments, and what is shown of it.
MASKED = {
    "https://u:p@host/mcp?key=s": "https://***@host/mcp?key=***",
    "https://host/mcp": "https://host/mcp",
    "vault.kv/mcp#url": "vault.kv/mcp#url",
    '["-y","--token=s","--api-key","s"]': ["-y", "--token=***", "--api-key", "***"],
    "[]": [],
}
SECRETS = ["azure_endpoint", "azure_client_id", "azure_client_secret"]
SECRETS += ["azure_tenant_id", "vertex_project_id", "vertex_project_number"]
SECRETS += ["vertex_region", "vertex_auth_credentials", "bedrock_access_key"]
SECRETS += ["bedrock_secret_key", "bedrock_session_token", "bedrock_region"]
SECRETS += ["bedrock_arn"]


def answer(path: Path, name: str) -> str:
    """The whole answer of a list as text, without parameters, of a database file."""
    entities = getattr(Oracle(path), name)()
    count = len(entities)
    numbers = {"count": count, "total_count": count, "limit": count, "offset": 0}
    whole = {name: entities, **numbers}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


class Oracle:
    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            self.rows = {
                name: [dict(row) for row in connection.execute(f"SELECT * FROM {t}")]
                for name, t in TABLES.items()
            }

    def teams(self) -> list[Row]:
        customers = {row["id"]: row for row in self.rows["customers"]}
        return [
            self.team(row, self.customer(customers[row["customer_id"]]))
            if row["customer_id"] in customers
            else self.team(row, ...)
            for row in in_order(self.rows["teams"])
        ]

    def customers(self) -> list[Row]:
        return [self.customer(row) for row in in_order(self.rows["customers"])]

    def customer(self, row: Row) -> Row:
        budgets = self.own_budgets("customer_id", row, row["calendar_aligned"])
        own_keys = self.keys("customer_id", row)
        return entity(
            id=row["id"],
            name=text(row["name"]),
            budget_id=budgets[0]["id"] if budgets else ...,
            rate_limit_id=optional(row["rate_limit_id"]),
            budget=budgets[0] if budgets else ...,
            budgets=budgets,
            rate_limit=self.limit(row["rate_limit_id"]),
            calendar_aligned=bool(row["calendar_aligned"]),
            virtual_key_count=len(own_keys),
            teams=[
                self.team(each, {})
                for each in in_order(self.rows["teams"])
                if each["customer_id"] == row["id"]
            ],
            virtual_keys=own_keys,
            **times(row),
        )

    def team(self, row: Row, customer: Any) -> Row:
        budgets = self.own_budgets("team_id", row, row["calendar_aligned"])
        keys = self.keys("team_id", row)
        return entity(
            id=row["id"],
            name=text(row["name"]),
            customer_id=optional(row["customer_id"]),
            budget_id=budgets[0]["id"] if budgets else ...,
            rate_limit_id=optional(row["rate_limit_id"]),
            customer=customer,
            budget=budgets[0] if budgets else ...,
            budgets=budgets,
            rate_limit=self.limit(row["rate_limit_id"]),
            virtual_keys=keys,
            calendar_aligned=bool(row["calendar_aligned"]),
            virtual_key_count=len(keys),
            profile=json.loads(row["profile"] or "{}"),
            config=json.loads(row["config"] or "{}"),
            claims=json.loads(row["claims"] or "{}"),
            **times(row),
        )

    def keys(self, owner: str, row: Row) -> list[Row]:
        rows = [each for each in self.rows["keys"] if each[owner] == row["id"]]
        return [self.key(each) for each in in_order(rows)]

    def key(self, row: Row) -> Row:
        models = self.models_of(row["id"], None)
        aligned = row["calendar_aligned"]
        if aligned is None:  # a July budget's own column is missing: its owner's counts
            governing = [model for model in models if model["model_name"] == "*"][:1]
            aligned = any(
                model["calendar_aligned"] and self.named("model_config_id", model)
                for model in governing
            )
        budgets, limit_id = self.spending("virtual_key_id", row, aligned, models)
        exists = {
            name: [each["id"] for each in self.rows[name]]
            for name in ("teams", "customers")
        }
        return entity(
            id=row["id"],
            name=text(row["name"]),
            value=text(row["value"]),
            description=text(row["description"]),
            is_active=row["is_active"] in (1, None),
            provider_configs=[
                self.config(each, aligned)
                for each in by_number(self.rows["configs"])
                if each["virtual_key_id"] == row["id"]
            ],
            mcp_configs=[
                self.mcp_config(each)
                for each in by_number(self.rows["mcp_configs"])
                if each["virtual_key_id"] == row["id"]
            ],
            calendar_aligned=bool(aligned),
            team_id=optional(row["team_id"]),
            customer_id=optional(row["customer_id"]),
            rate_limit_id=optional(limit_id),
            team={} if row["team_id"] in exists["teams"] else ...,
            customer={} if row["customer_id"] in exists["customers"] else ...,
            budgets=budgets,
            rate_limit=self.limit(limit_id),
            created_by_user_id=optional(row["created_by_user_id"]),
            model_budgets=self.model_budgets("virtual_key_id", row, models),
            expires_at=time(row["expires_at"]) if row["expires_at"] else ...,
            **times(row),
        )

    def config(self, row: Row, aligned: Any) -> Row:
        models = self.models_of(row["virtual_key_id"], row["provider"] or "")
        budgets, limit_id = self.spending("provider_config_id", row, aligned, models)
        attached = [
            link["table_key_id"]
            for link in self.rows["links"]
            if link["table_virtual_key_provider_config_id"] == row["id"]
        ]
        return entity(
            id=row["id"],
            virtual_key_id=row["virtual_key_id"],
            provider=text(row["provider"]),
            weight=number(row["weight"]),
            allowed_models=json.loads(row["allowed_models"] or "[]"),
            blacklisted_models=json.loads(row["blacklisted_models"] or "[]"),
            allow_all_keys=bool(
                row["allow_all_keys"]
                if row["allow_all_keys"] is not None
                else not {k["id"] for k in self.rows["provider_keys"]} & {*attached}
            ),
            rate_limit_id=optional(limit_id),
            budgets=budgets,
            rate_limit=self.limit(limit_id),
            keys=[
                self.provider_key(each)
                for each in by_number(self.rows["provider_keys"])
                if each["id"] in attached
            ],
            model_budgets=self.model_budgets("provider_config_id", row, models),
        )

    def models_of(self, key_id: str, provider: str | None) -> list[Row]:
        """The model configs of a key, or of its provider config of a provider."""
        return [
            row
            for row in in_order(self.rows["models"])
            if row["scope"] == "virtual_key"
            and row["scope_id"] == key_id
            and (row["provider"] or None) == provider
        ]

    def spending(
        self, owner: str, row: Row, aligned: Any, models: list[Row]
    ) -> tuple[list[Row], Any]:
        """The budgets and the limit of a key or a provider config."""
        for model in models:
            if model["model_name"] == "*":
                return self.model_spending(owner, row, model), model["rate_limit_id"]
        return self.own_budgets(owner, row, aligned), row["rate_limit_id"]

    def model_spending(self, owner: str, row: Row, model: Row) -> list[Row]:
        return [
            budget(each, owner, row["id"], model["calendar_aligned"])
            for each in self.named("model_config_id", model)
        ]

    def model_budgets(self, owner: str, row: Row, models: list[Row]) -> Any:
        shown = [
            entity(
                model_name=text(model["model_name"]),
                budgets=self.model_spending(owner, row, model),
                rate_limit=self.limit(model["rate_limit_id"]),
            )
            for model in models
            if model["model_name"] != "*"
        ]
        return shown or ...

    def own_budgets(self, owner: str, row: Row, aligned: Any) -> list[Row]:
        return [
            budget(each, owner, row["id"], aligned) for each in self.named(owner, row)
        ]

    def named(self, column: str, row: Row) -> list[Row]:
        """The budgets that name a row in a column."""
        found = [each for each in self.rows["budgets"] if each[column] == row["id"]]
        return in_order(found)

    def limit(self, limit_id: Any) -> Any:
        for row in self.rows["limits"]:
            if row["id"] == limit_id:
                return entity(
                    id=row["id"],
                    token_max_limit=optional(row["token_max_limit"]),
                    token_reset_duration=optional(row["token_reset_duration"]),
                    token_current_usage=row["token_current_usage"] or 0,
                    token_last_reset=time(row["token_last_reset"]),
                    request_max_limit=optional(row["request_max_limit"]),
                    request_reset_duration=optional(row["request_reset_duration"]),
                    request_current_usage=row["request_current_usage"] or 0,
                    request_last_reset=time(row["request_last_reset"]),
                    **times(row),
                )
        return ...

    def provider_key(self, row: Row) -> Row:
        return entity(
            id=row["id"],
            name=text(row["name"]),
            provider_id=row["provider_id"] or 0,
            provider=text(row["provider"]),
            key_id=text(row["key_id"]),
            value=env_value(row["value"]),
            models=json.loads(row["models_json"] or "[]"),
            weight=number(row["weight"]),
            enabled=row["enabled"] in (1, None),
            use_for_batch_api=bool(row["use_for_batch_api"]),
            created_at=time(row["created_at"]),
            updated_at=time(row["updated_at"]),
            config_hash=text(row["config_hash"]),
            **{name: env_value(row[name]) if row[name] else ... for name in SECRETS},
        )

    def mcp_config(self, row: Row) -> Row:
        clients = {each["id"]: each for each in self.rows["mcp_clients"]}
        client = clients.get(row["mcp_client_id"])
        return entity(
            id=row["id"],
            virtual_key_id=row["virtual_key_id"],
            mcp_client_id=row["mcp_client_id"],
            mcp_client_name=text(client and client["name"]),
            mcp_client=mcp_client(client) if client else ...,
            tools_to_execute=json.loads(row["tools_to_execute"] or "[]"),
        )


def mcp_client(row: Row) -> Row:
    stdio = json.loads(row["stdio_config_json"] or "null")
    tls = json.loads(row["tls_config_json"] or "null")
    headers = json.loads(row["headers_json"] or "{}")
    arguments = json.dumps(stdio["args"], separators=(",", ":")) if stdio else ""
    return entity(
        client_id=row["client_id"],
        name=row["name"],
        is_code_mode_client=bool(row["is_code_mode_client"]),
        connection_string=MASKED.get(row["connection_string"], ...),
        stdio_config={
            "command": stdio["command"],
            "args": MASKED[arguments],
            "envs": stdio.get("envs", []),
        }
        if stdio
        else ...,
        tls_config={
            "insecure_skip_verify": tls.get("insecure_skip_verify", False),
            "ca_cert_pem": tls.get("ca_cert_pem", ""),
        }
        if tls
        else ...,
        oauth_config_id=optional(row["oauth_config_id"]),
        headers={name: env_value(value) for name, value in headers.items()},
        tools_to_execute=json.loads(row["tools_to_execute_json"] or "[]"),
        tools_to_auto_execute=json.loads(row["tools_to_auto_execute_json"] or "[]"),
        tool_pricing=json.loads(row["tool_pricing_json"] or "{}"),
        allow_on_all_virtual_keys=bool(row["allow_on_all_virtual_keys"]),
        per_user_header_keys=json.loads(row["per_user_header_keys_json"] or "[]"),
        disabled=bool(row["disabled"]),
    )


def budget(row: Row, owner: str, owner_id: Any, aligned: Any) -> Row:
    named = {**row, owner: row[owner] or owner_id}
    return entity(
        id=row["id"],
        max_limit=number(row["max_limit"]) or 0,
        reset_duration=text(row["reset_duration"]),
        calendar_aligned=bool(aligned),
        last_reset=time(row["last_reset"]),
        current_usage=number(row["current_usage"]) or 0,
        **times(row),
        team_id=optional(named["team_id"]),
        virtual_key_id=optional(named["virtual_key_id"]),
        provider_config_id=optional(named["provider_config_id"]),
        customer_id=optional(named["customer_id"]),
    )


def entity(**members: Any) -> Row:
    """Members in their order, without those of which there is nothing to say."""
    return {name: value for name, value in members.items() if value is not ...}


def optional(value: Any) -> Any:
    return ... if value in (None, "") else value


def text(value: str | None) -> str:
    return value or ""


def number(value: float | None) -> float | None:
    whole = value is not None and value == int(value)
    return int(value) if whole and value is not None else value


def times(row: Row) -> Row:
    """The members that all entities but provider keys end with."""
    return {
        "config_hash": text(row["config_hash"]),
        "created_at": time(row["created_at"]),
        "updated_at": time(row["updated_at"]),
    }


def time(stored: str | None) -> str:
    """RFC 3339 of a stored UTC time, without trailing zeros."""
    if not stored:
        return ZERO_TIME
    day, clock, fraction = re.fullmatch(
        r"(\S+) (\d\d:\d\d:\d\d)(\.\d+)?\+00:00", stored
    ).groups()  # type: ignore[union-attr]
    return f"{day}T{clock}{(fraction or '').rstrip('0')}Z"


def env_value(stored: str | None) -> Row:
    reference = stored if stored and stored.startswith(("env.", "vault.")) else ""
    return {
        "value": "",
        "env_var": reference,
        "from_env": reference.startswith("env."),
    }


def in_order(rows: list[Row]) -> list[Row]:
    """Rows by created_at as an instant, then by id."""
    return sorted(rows, key=lambda row: (instant(row["created_at"]), row["id"]))


def instant(stored: str | None) -> tuple[str, str]:
    clock, _, fraction = time(stored).removesuffix("Z").partition(".")
    return clock, fraction.ljust(9, "0")


def by_number(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["id"])
