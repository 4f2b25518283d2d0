"""Our rows as a gateway's `config.json`, which gateways and `flask load` take.

In the older layout, what only newer gateways know stands beside the rest: older ones
pass over what they do not know, and nothing is lost on the way back. A stored value
goes out as it reads; one that is unset or cannot be read stays out, and so does what
refers to nothing: a gateway would not start on it.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import orjson

import values
from models import (
    BUDGET_OWNERS,
    MODELS,
    Budget,
    McpClient,
    McpConfig,
    Model,
    ModelConfig,
    Provider,
    ProviderConfig,
    ProviderKey,
    RateLimit,
    Row,
    VirtualKey,
    references,
)
from store.files import replace_file
from store.locations import is_database
from store.lookups import by_age
from store.relations import Index
from store.rows import Rows
from transfer.checking import UNSET, quoted
from transfer.config_schemas import MAKERS, NUMBER, SCHEMAS, loader

Json = dict[str, Any]
Layout = Literal["older", "newer"]

LONG_PAST = "1970-01-01T00:00:00Z"
VERSION = 2  # newer gateways then take an empty list for none, not for all
GOVERNING: tuple[str, ...] = ("budget_id", "rate_limit_id")
BY_NUMBER = attrgetter("id")


class ExportError(Exception):
    """The rows cannot be exported so; `problems` has a line for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def export_config(
    rows: Rows, *, layout: Layout = "older", with_secrets: bool = False
) -> Json:
    """Return the rows as a `config.json`; virtual keys' values only `with_secrets`.

    Of providers' and MCP servers' secrets only where they are read from goes out.
    Raises ExportError where the layout cannot hold what there is.
    """
    export = _Export(Index(rows), layout == "older", with_secrets)
    config = export.config()
    if export.problems:
        raise ExportError(export.problems)
    return config


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
            _require_no_database(Path(path))
            replace_file(Path(path), text, 0o600 if with_secrets else 0o666)
    except OSError as problem:
        raise ExportError([f"{path} cannot be written: {problem.strerror}"]) from None


def _require_no_database(path: Path) -> None:
    if is_database(path):
        raise ExportError([f"{path} is a database: it is not replaced by an export"])


class _Export:
    """One pass over the rows; `problems` is what the layout cannot hold of them."""

    def __init__(self, index: Index, older: bool, with_secrets: bool) -> None:
        self.index = index
        self.older = older
        self.with_secrets = with_secrets
        self.budgets: dict[Any, Json] = {}  # those that go into the list of budgets
        self.owned: set[Any] = set()  # the ids of all that have an owner
        self.problems: list[str] = []
        self.ids = {model: {row[0] for row in index.rows[model]} for model in MODELS}

    def config(self) -> Json:
        index, limits = self.index, by_age(self.index.rows[RateLimit])
        governance = {
            "rate_limits": [self._members(RateLimit, row) for row in limits],
            "customers": [self._owner("customer_id", row) for row in index.customers],
            "teams": [self._owner("team_id", row) for row in index.teams],
            "virtual_keys": [
                self._owner("virtual_key_id", row) for row in index.virtual_keys
            ],
        }
        configs = by_age(index.rows[ModelConfig])
        if configs:
            governance["model_configs"] = [
                self._owner("model_config_id", row) for row in configs
            ]
        if governed := list(self._governed_providers()):
            governance["providers"] = governed
        for row in by_age(index.rows[Budget]):
            if row.id not in self.owned:
                self.budgets[row.id] = self._members(Budget, row)
        clients = sorted(index.rows[McpClient], key=BY_NUMBER)
        version = {} if self.older else {"version": VERSION}
        return {
            **version,
            "providers": self._providers(),
            "mcp": {"client_configs": [_dumped(McpClient, row) for row in clients]},
            "governance": {"budgets": list(self.budgets.values()), **governance},
        }

    def _owner(self, column: str, row: Row) -> Json:
        """Return a thing that owns budgets; they name it in `column`."""
        model = BUDGET_OWNERS[column]
        owner = self._members(model, row)
        budgets = self._unowned(self._budgets(column, row))
        # Where only its budgets know, as at older gateways, it has it of them.
        of_them = self._aligned_by(column, row, budgets)
        aligned = owner.setdefault("calendar_aligned", of_them)
        self._link(owner, budgets, aligned)
        if model is ModelConfig:  # gateways make its budgets first, then link them
            self.budgets |= {each["id"]: each for each in budgets}
            owner["budget_ids"] = [each["id"] for each in budgets]
            owner.pop("budgets", None)
        elif not self.older:
            self.budgets |= {each["id"]: {**each, column: row.id} for each in budgets}
        if self.older and aligned == self._aligned_by(column, row, budgets):
            del owner["calendar_aligned"]
        if model is VirtualKey:
            self._complete(owner, row, aligned)
        return owner

    def _aligned_by(self, column: str, row: Row, budgets: list[Json]) -> bool:
        """Return whether an owner is aligned by its budgets if it does not say."""
        if column == "virtual_key_id":
            governing, _ = self.index.model_configs(row.id)
            if governing is not None:
                has_some = self.index.budgets_of_model_config(governing)
                return bool(has_some and governing.calendar_aligned)
        return any(budget.get("calendar_aligned") for budget in budgets)

    def _members(self, model: Model, row: Row) -> Json:
        """Return what a row says, but for references that lead nowhere."""
        refers, said = references(model), _dumped(model, row)
        return {
            name: each
            for name, each in said.items()
            if name not in refers or each in self.ids[refers[name]]
        }

    def _budgets(self, column: str, row: Row) -> list[Row]:
        """Return an owner's budgets; also of a model config of older gateways."""
        if column != "model_config_id":
            return self.index.budgets(column, row)
        named = self.index.budget.get(row.budget_id)
        older = named is not None and row.scope in UNSET
        return self.index.budgets_of_model_config(row) or ([named] if older else [])

    def _unowned(self, rows: list[Row]) -> list[Json]:
        """Return budgets without the names of their owners."""
        budgets = (self._members(Budget, row) for row in rows)
        return [
            {name: each for name, each in budget.items() if name not in BUDGET_OWNERS}
            for budget in budgets
        ]

    def _link(self, owner: Json, budgets: list[Json], aligned: bool) -> None:
        """Let an owner and its budgets name each other as the layout has it."""
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
        """Add to a virtual key what other owners do not have."""
        if not self.with_secrets:
            key.pop("value", None)
        now = datetime.now(UTC)
        if "expires_at" not in key and values.has_passed(row.expires_at, now):
            key["expires_at"] = LONG_PAST  # as it cannot be read
        configs = self.index.provider_configs_of.get(row.id, ())
        key["provider_configs"] = [
            self._provider_config(each, aligned) for each in configs
        ]
        mcp_configs = self.index.mcp_configs_of.get(row.id, ())
        key["mcp_configs"] = [self._mcp_config(each) for each in mcp_configs]

    def _provider_config(self, row: Row, aligned: bool) -> Json:
        config = self._members(ProviderConfig, row)
        budgets = self._unowned(self.index.budgets("provider_config_id", row))
        self._link(config, budgets, aligned)
        keys = self.index.provider_keys(row)
        all_allowed = config.setdefault("allow_all_keys", not keys)
        if not self.older:
            ids = [key.key_id or key.name for key in keys]
            config["key_ids"] = ["*"] if all_allowed and not keys else ids
            config["budgets"] = budgets
        else:
            newer = self.index.rows[ModelConfig]  # where no keys may mean none
            if all_allowed == (not keys) and (keys or not newer):
                del config["allow_all_keys"]
            if keys:
                config["allowed_keys"] = [key.name for key in keys]
        return config

    def _mcp_config(self, row: Row) -> Json:
        config = self._members(McpConfig, row)
        client = self.index.mcp_client.get(row.mcp_client_id)
        if client is not None:
            config["mcp_client_name"] = client.name
        return config

    def _governed_providers(self) -> Iterator[Json]:
        """Yield what governs providers as wholes."""
        for row in sorted(self.index.rows[Provider], key=BY_NUMBER):
            said = self._members(Provider, row)
            governing = {name: said[name] for name in GOVERNING if name in said}
            if governing:
                yield {"name": row.name, **governing}

    def _providers(self) -> Json:
        providers: Json = {
            row.name: {NUMBER: row.id, "keys": []}
            for row in sorted(self.index.rows[Provider], key=BY_NUMBER)
        }
        for row in sorted(self.index.rows[ProviderKey], key=BY_NUMBER):
            named = None if row.provider else self.index.provider.get(row.provider_id)
            name = values.text(row.provider if named is None else named.name)
            provider = providers.setdefault(name, {"keys": []})
            provider["keys"].append(_dumped_key(row))
        return providers


def _dumped(model: Model, row: Row) -> Json:
    """Return what a row says, by the names that files have for its columns."""
    return loader(SCHEMAS[model]).dump_row(row._asdict())


def _dumped_key(row: Row) -> Json:
    """Return a provider's key, its maker's columns in a member of their own."""
    stored: Json = row._asdict()
    for maker, schema in MAKERS.items():
        secrets = {name: stored[f"{maker}_{name}"] for name in loader(schema).fields}
        is_set = any(each not in UNSET for each in secrets.values())
        stored[f"{maker}_key_config"] = secrets if is_set else None
    dumped: Json = loader(SCHEMAS[ProviderKey]).dump(stored)
    return dumped
