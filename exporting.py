"""Our rows as a gateway's `config.json`, which gateways and `flask load` take.

In the older layout, what only newer gateways know stands beside the rest: older ones
pass over what they do not know, and nothing is lost on the way back. A stored value
goes out as it reads; one that is unset or cannot be read stays out.
"""

import sys
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal

import orjson

import values
from api_keys import is_expired
from checking import ENCRYPTED, UNSET, Read, quoted, readers
from database import Rows
from file_fields import NOT_KEPT, kept_secret
from files import replace_file
from index import Index, by_age
from models import (
    BUDGET_OWNERS,
    Budget,
    McpClient,
    McpConfig,
    Provider,
    ProviderConfig,
    ProviderKey,
    RateLimit,
    Row,
    VirtualKey,
)
from own_database import Model
from schemas import LEFT_OUT

Json = dict[str, Any]
Layout = Literal["older", "newer"]

# Where a row's number goes. Gateways pass it over; an "id" they would take for a number
# of their own, and in a provider's key it is a text.
NUMBER = "number"
LONG_PAST = "1970-01-01T00:00:00Z"
HIDDEN = ("value_hash", "encryption_status")
BY_NUMBER = attrgetter("id")
IS_ALIGNED = itemgetter("calendar_aligned")


class ExportError(Exception):
    """It cannot be exported so; `problems` has a line for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def export_config(
    rows: Rows, *, layout: Layout = "older", with_secrets: bool = False
) -> Json:
    """The rows as a `config.json`; virtual keys' values only `with_secrets`.

    Of providers' and MCP servers' secrets only `env.NAME` is told. Raises ExportError
    where the layout cannot hold what there is.
    """
    export = _Export(Index(rows), layout == "older", with_secrets)
    config = export.config()
    if export.problems:
        raise ExportError(export.problems)
    return config


def passed_over(config: Json) -> list[str]:
    """What restrictions of a config an older gateway does not know, a line each."""
    lines: list[str] = []
    for key in config["governance"]["virtual_keys"]:
        place = f"virtual key {quoted(key['id'])}"
        if "expires_at" in key:
            lines.append(f"{place}: older gateways let it live past its expires_at")
        for part in key["provider_configs"]:
            if part.get("blacklisted_models"):
                lines.append(f"{place}: older gateways have no blacklisted_models")
            if part.get("allow_all_keys") is False:
                lines.append(f"{place}: older gateways then allow all keys")
    for client in config["mcp"]["client_configs"]:
        if client.get("disabled"):
            lines.append(
                f"MCP client {quoted(client['name'])}: older ones disable none"
            )
    return list(dict.fromkeys(lines))


def write_config(config: Json, path: Path | str, *, with_secrets: bool = False) -> None:
    """Write a config to a file, whole or not at all; "-" is standard output. One with
    secrets only its owner may read. Raises ExportError.
    """
    text = orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        if str(path) == "-":
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
        else:
            replace_file(Path(path), text, 0o600 if with_secrets else 0o666)
    except OSError as problem:
        raise ExportError([f"{path} cannot be written: {problem.strerror}"]) from None


class _Export:
    """One pass over the rows; `problems` is what the layout cannot hold of them."""

    def __init__(self, index: Index, older: bool, with_secrets: bool) -> None:
        self.index = index
        self.older = older
        self.with_secrets = with_secrets
        self.budgets: dict[Any, Json] = {}  # those that go into the list of budgets
        self.owned: set[Any] = set()  # the ids of all that have an owner
        self.problems: list[str] = []

    def config(self) -> Json:
        index, limits = self.index, by_age(self.index.rows[RateLimit])
        governance = {
            "rate_limits": [_told(RateLimit, row) for row in limits],
            "customers": [self._owner("customer_id", row) for row in index.customers],
            "teams": [self._owner("team_id", row) for row in index.teams],
            "virtual_keys": [
                self._owner("virtual_key_id", row) for row in index.virtual_keys
            ],
        }
        for row in by_age(index.rows[Budget]):
            if row.id not in self.owned:
                self.budgets[row.id] = _told(Budget, row)
        clients = sorted(index.rows[McpClient], key=BY_NUMBER)
        return {
            "providers": self._providers(),
            "mcp": {"client_configs": [self._mcp_client(row) for row in clients]},
            "governance": {"budgets": list(self.budgets.values()), **governance},
        }

    def _owner(self, column: str, row: Row) -> Json:
        """A customer, team or virtual key; `column` is how its budgets name it."""
        model = BUDGET_OWNERS[column]
        owner = _told(model, row)
        budgets = self._budgets(column, row)
        # Where only its budgets know, as at older gateways, it has it of them.
        of_them = any(budget.get("calendar_aligned") for budget in budgets)
        aligned = owner.setdefault("calendar_aligned", of_them)
        self._link(owner, budgets, aligned)
        if not self.older:
            self.budgets |= {each["id"]: {**each, column: row.id} for each in budgets}
        elif aligned == any(map(IS_ALIGNED, budgets)):
            del owner["calendar_aligned"]
        if model is VirtualKey:
            self._complete(owner, row, aligned)
        return owner

    def _budgets(self, column: str, row: Row) -> list[Json]:
        """An owner's budgets, which say nothing of their owner yet."""
        budgets = []
        for budget in self.index.budgets(column, row):
            told = _told(Budget, budget)
            budgets.append(
                {n: each for n, each in told.items() if n not in BUDGET_OWNERS}
            )
        return budgets

    def _link(self, owner: Json, budgets: list[Json], aligned: bool) -> None:
        """Say of an owner and its budgets what they say of each other in the layout."""
        ids = [budget["id"] for budget in budgets]
        if self.older:
            for budget in budgets:
                budget.setdefault("calendar_aligned", aligned)
            if owner.get("budget_id") not in ids and ids:
                owner["budget_id"] = ids[0]
            first = [each for each in budgets if each["id"] == owner.get("budget_id")]
            self.budgets |= {budget["id"]: budget for budget in first}
            if more := [budget for budget in budgets if budget not in first]:
                owner["budgets"] = more
        else:
            for shared in self.owned.intersection(ids):
                self.problems.append(
                    f"budget {quoted(shared)}: the newer layout cannot hold more than"
                    " one owner; --layout older can"
                )
            for budget in budgets:
                if budget.get("calendar_aligned") == aligned:
                    del budget["calendar_aligned"]
            if ids and owner.get("budget_id") == ids[0]:
                del owner["budget_id"]
        self.owned.update(ids)

    def _complete(self, key: Json, row: Row, aligned: bool) -> None:
        """Say of a virtual key what is not said of other owners."""
        if not self.with_secrets or row.encryption_status == ENCRYPTED:
            key.pop("value", None)
        if key["expires_at"] == values.ZERO_TIME:
            del key["expires_at"]
            if is_expired(row, datetime.now(UTC)):  # since it cannot be read
                key["expires_at"] = LONG_PAST
        configs = self.index.provider_configs_of.get(row.id, ())
        key["provider_configs"] = [
            self._provider_config(each, aligned) for each in configs
        ]
        mcp_configs = self.index.mcp_configs_of.get(row.id, ())
        key["mcp_configs"] = [self._mcp_config(each) for each in mcp_configs]

    def _provider_config(self, row: Row, aligned: bool) -> Json:
        config = _told(ProviderConfig, row)
        del config["virtual_key_id"]
        budgets = self._budgets("provider_config_id", row)
        self._link(config, budgets, aligned)
        keys = self.index.provider_keys(row)
        all_allowed = config.setdefault("allow_all_keys", not keys)
        if not self.older:
            ids = [key.key_id or key.name for key in keys]
            config["key_ids"] = ["*"] if all_allowed and not keys else ids
            config["budgets"] = budgets
        else:
            if all_allowed == (not keys):
                del config["allow_all_keys"]
            if keys:
                config["allowed_keys"] = [key.name for key in keys]
        return config

    def _mcp_config(self, row: Row) -> Json:
        config = _told(McpConfig, row)
        del config["virtual_key_id"]
        client = self.index.mcp_client.get(row.mcp_client_id)
        if client is not None:
            del config["mcp_client_id"]
            config["mcp_client_name"] = client.name
        return config

    def _mcp_client(self, row: Row) -> Json:
        client = _told(McpClient, row)
        headers = client.get("headers", {}).items()
        client["headers"] = {n: told["env_var"] or NOT_KEPT for n, told in headers}
        address = client.pop("connection_string", "")
        if address and row.encryption_status != ENCRYPTED:
            client["connection_string"] = values.mask_url(address)
        return client

    def _providers(self) -> Json:
        providers: Json = {
            row.name: {NUMBER: row.id, "keys": []}
            for row in sorted(self.index.rows[Provider], key=BY_NUMBER)
        }
        for row in sorted(self.index.rows[ProviderKey], key=BY_NUMBER):
            named = None if row.provider else self.index.provider.get(row.provider_id)
            name = values.text(row.provider if named is None else named.name)
            provider = providers.setdefault(name, {"keys": []})
            provider["keys"].append(_provider_key(row))
        return providers


def _provider_key(row: Row) -> Json:
    key: Json = {}
    for name, said in _told(ProviderKey, row).items():
        maker, _, member = name.partition("_")
        if maker in ("azure", "vertex", "bedrock"):
            key.setdefault(f"{maker}_key_config", {})[member] = kept_secret(said)
        elif name not in ("provider", "provider_id"):
            key["id" if name == "key_id" else name] = said
    if "value" in key:
        key["value"] = kept_secret(key["value"])
    return key


def _told(model: Model, row: Row) -> Json:
    """What a row says, by the names that files have for its columns."""
    told: Json = {}
    for (name, read, unset), value in zip(_columns(model), row, strict=True):
        try:
            said = unset if value in UNSET else read(value)
        except (ValueError, TypeError, RecursionError):
            said = unset  # flask check finds it
        if said is not None and said is not LEFT_OUT and name not in HIDDEN:
            told[name] = said
    return told


@cache
def _columns(model: Model) -> list[tuple[str, Read, Any]]:
    """How files name a model's columns, how they read, and what they say when unset."""
    found: list[tuple[str, Read, Any]] = []
    for column in model._meta.sorted_fields:
        read = readers(model).get(column.name, values.text)
        name = NUMBER if column.name == "id" and read is values.number else column.name
        unset = values.ZERO_TIME if read is values.rfc3339 else None
        found.append((name.removesuffix("_json"), read, unset))
    return found
