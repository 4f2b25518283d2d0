"""Both lists against an oracle of the contract, over many odd July databases.

ORACLE_RUNS sets how many (1000 take a minute).
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import pytest
from gateway import T0, T1, T2, T3, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]

RUNS = int(os.environ.get("ORACLE_RUNS", "120"))
TIMES = [T0, T0, T0, T1, T2, T3, "2026-04-01 10:00:00.500000000+00:00", None]
PROVIDERS = ["openai", "azure", "OpenAI"]
HELD = {"profile": '{"tier":"gold"}', "config": '{"alerts":[0.5]}', "claims": None}


class Maker:
    """Fills a July database by chance: what refers to something may refer to nothing,
    what is of one owner may be of several, and what may be unset often is.
    """

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self.gateway = gateway
        self.chance = random.Random(seed)
        self.ids: dict[str, list[Any]] = {}

    def any_of(self, name: str) -> Any:
        """An id that was made, or what is none."""
        none = [404, None] if name == "config" else ["gone", "", None]
        return self.chance.choice([*self.ids[name] * 3, *none])

    def flag(self) -> int | None:
        return self.chance.choice([0, 1, None])

    def some(self, name: str, most: int) -> list[Any]:
        """Up to so many new ids; in another order than they are made in."""
        ids = [f"{name}-{each}" for each in range(self.chance.randint(0, most))]
        self.ids[name] = self.chance.sample(ids, len(ids))
        return self.ids[name]

    def numbers(self, name: str, most: int) -> list[Any]:
        self.ids[name] = self.chance.sample(range(1, 99), self.chance.randint(0, most))
        return self.ids[name]

    def times(self) -> dict[str, Any]:
        return {
            name: self.chance.choice(TIMES) for name in ("created_at", "updated_at")
        }

    def fill(self) -> None:
        self.limits()
        self.owners()
        self.provider_keys_and_clients()
        self.keys()
        self.model_configs()
        self.budgets()

    def limits(self) -> None:
        for id in self.some("limit", 3):
            limits = {"token_max_limit": 2**53 + 1, "request_max_limit": None}
            self.gateway.rate_limit(id, token_last_reset=T3, **limits, **self.times())

    def owners(self) -> None:
        for id in self.some("customer", 3):
            self.gateway.customer(id, **self.owner())
        for id in self.some("team", 5):
            self.gateway.team(id, self.any_of("customer"), **HELD, **self.owner())

    def owner(self) -> dict[str, Any]:
        limit = self.any_of("limit")
        return {
            "rate_limit_id": limit,
            "calendar_aligned": self.flag(),
            **self.times(),
        }

    def provider_keys_and_clients(self) -> None:
        values = ["env.KEY", "vault.kv/key", "sk-secret", ""]
        for id in self.numbers("provider_key", 3):
            secrets = {"value": self.chance.choice(values), "weight": 0.5}
            secrets["azure_endpoint"] = self.chance.choice(values)
            self.gateway.provider_key(id, enabled=self.flag(), **secrets)
        for id in self.numbers("client", 2):
            urls = [text for text in oracle.MASKED if not text.startswith("[")]
            arguments = [text for text in oracle.MASKED if text.startswith("[")]
            self.gateway.mcp_client(
                id,
                connection_string=self.chance.choice([*urls, None]),
                stdio_config_json={
                    "command": "npx",
                    "args": json.loads(self.chance.choice(arguments)),
                },
                headers_json={"A": "secret", "B": "env.B", "C": "vault.c"},
                disabled=self.flag(),
            )

    def keys(self) -> None:
        for id in self.some("key", 7):
            self.gateway.virtual_key(
                id,
                team_id=self.any_of("team"),
                customer_id=self.any_of("customer"),
                is_active=self.flag(),
                expires_at=self.chance.choice([T3, None]),
                **self.owner(),
            )
        for id in self.numbers("config", 9):
            self.gateway.provider_config(
                id,
                self.any_of("key"),
                tuple(self.chance.sample([*self.ids["provider_key"], 404], 1)),
                provider=self.chance.choice([*PROVIDERS, "openai", None]),
                allow_all_keys=self.flag(),
                rate_limit_id=self.any_of("limit"),
                weight=self.chance.choice([1.0, 0.25, None]),
            )
        for id in self.numbers("mcp", 4):
            client = self.chance.choice([*self.ids["client"], 404])
            self.gateway.mcp_config(id, self.any_of("key"), client)

    def model_configs(self) -> None:
        for id in self.some("model", 14):
            self.gateway.model_config(
                id,
                self.any_of("key"),
                self.chance.choice(["*", "*", "*", "o3", "gpt-4o", "", None]),
                self.chance.choice([*PROVIDERS, "openai", None, None, ""]),
                scope=self.chance.choice(["virtual_key"] * 6 + ["global", None]),
                **self.owner(),
            )

    def budgets(self) -> None:
        owners = ["team", "customer", "key", "config", "model", "model"]
        columns = {"key": "virtual_key_id", "config": "provider_config_id"}
        columns["model"] = "model_config_id"
        for id in self.some("budget", 16):
            named = {
                columns.get(owner, f"{owner}_id"): self.any_of(owner)
                for owner in self.chance.sample(owners, self.chance.choice([1, 1, 2]))
            }
            usage = self.chance.choice([0.0, 2.750518, 1000.0])
            self.gateway.budget(id, current_usage=usage, **named, **self.times())


@pytest.mark.parametrize("first", range(0, RUNS, 10))
def test_both_lists_are_what_the_oracle_says(
    tmp_path: Path, get: Get, first: int
) -> None:
    """Ten databases, one after the other in the place of the same service's."""
    for seed in range(first, first + 10):
        made = Gateway(tmp_path / "made.db", "july")
        Maker(made, seed).fill()
        expected = {n: oracle.answer(made.path, n) for n in ("teams", "customers")}
        made.path.replace(tmp_path / "config.db")

        for name in ("teams", "customers"):
            assert get(name).text == expected[name], seed
            assert get(name, source="memory").text == expected[name], seed


def test_the_databases_hold_what_they_are_for(tmp_path: Path) -> None:
    answers = ""
    for seed in range(40):
        gateway = Gateway(tmp_path / f"{seed}.db", "july")
        Maker(gateway, seed).fill()
        answers += oracle.answer(gateway.path, "teams")

    for part in ('"model_budgets":[{', '"rate_limit":{', '"keys":[{', '"expires_at":'):
        assert answers.count(part) > 40, part
    assert answers.count('"provider_config_id":') > 40
