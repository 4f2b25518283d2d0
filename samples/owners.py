"""Believable customers, teams, virtual keys and what belongs to them, as rows."""

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import models
from samples.choices import (
    AMOUNTS,
    CLAIMS,
    CONFIGS,
    DAY,
    DESCRIPTIONS,
    ENGLISH,
    FIRST,
    HALVES,
    KEY_PLACES,
    MCP_CLIENTS,
    NOW,
    PEOPLE,
    PERIODS,
    PROVIDERS,
    RARELY,
    RATE_LIMITS,
    RATE_PERIODS,
    SPAN,
    SPOKEN,
    STAGES,
    TEAM_PLACES,
    WEIGHTS,
    Draws,
)
from samples.new_rows import NewRows
from samples.providers import add_mcp_clients, add_providers
from store.relations import VIRTUAL_KEY
from values import VALUE_PREFIX, json_text, stored_time, value_hash

# What budgets and virtual keys belong to: the column that names it, its id, how its
# people speak.
Owner = namedtuple("Owner", "column id language")
NOBODY = Owner("customer_id", None, ENGLISH)


class Invention:
    """One run: the owners so far, and a clock that goes on with every new thing.

    Owners are kept by the card that deals them; "main" is the one customer that has
    most of the virtual keys.
    """

    def __init__(self, rows: NewRows, draws: Draws, count: int) -> None:
        self._rows = rows
        self._draws = draws
        self._step = SPAN // (count + 100)  # 100 is more than providers and the like
        self._clock = FIRST
        self._names: set[tuple[str, str]] = set()
        self._provider_keys: dict[str, list[int]] = {}
        self._owners: dict[str, list[Owner]] = {place: [] for place in KEY_PLACES}
        self._owners["nobody"].append(NOBODY)

    def _tick(self) -> None:
        self._clock += 1 + self._draws.below(self._step)
        self._rows.time = stored_time(self._clock)

    def add_providers(self) -> None:
        self._provider_keys = add_providers(self._rows, self._draws, self._tick)
        add_mcp_clients(self._rows, self._draws, self._tick)

    def add_customers(self, count: int) -> None:
        main = self._draws.below(count)
        for number in range(count):
            self._tick()
            language = self._draws.deal(SPOKEN)
            word = self._draws.pick(language.names)
            name = self._draws.pick(language.companies).format(word)
            owner = Owner("customer_id", self._id("cust", word, number), language)
            self._owners["main" if number == main else "other"].append(owner)
            budgets = self._draws.deal((0, 1, 1, 1, 2, 3))
            self._rows.add(
                models.Customer,
                id=owner.id,
                name=self._name("customer", name, language.teams, number),
                rate_limit_id=self._add_rate_limit(100),
                calendar_aligned=self._add_budgets(owner, budgets, 100),
                config_hash=self._draws.digest(),
            )

    def add_teams(self, count: int) -> None:
        for number in range(count):
            self._tick()
            # The first is the main customer's, so that its keys have somewhere to go.
            place = self._draws.deal(TEAM_PLACES) if number else "main"
            customers = self._owners["other" if place == "empty" else place]
            customer = self._draws.pick_early(customers or self._owners["main"])
            word = self._draws.pick(customer.language.teams)
            owner = Owner("team_id", self._id("team", word, number), customer.language)
            if place != "empty":
                at = "main team" if place == "main" else "other team"
                self._owners[at].append(owner)
            budgets = self._draws.deal((0, 0, 1, 1, 2))
            profile = {"lead": self._draws.pick(PEOPLE), "cost_center": f"CC-{number}"}
            self._rows.add(
                models.Team,
                id=owner.id,
                name=self._name("team", word, customer.language.tasks, number),
                customer_id=customer.id,
                rate_limit_id=self._add_rate_limit(10),
                calendar_aligned=self._add_budgets(owner, budgets, 10),
                profile=json_text(profile) if self._draws.deal((True, False)) else None,
                config=self._draws.deal(CONFIGS),
                claims=self._draws.deal(CLAIMS),
                source_id=f"group-{number + 1}" if self._draws.deal(RARELY) else None,
                config_hash=self._draws.digest(),
            )

    def add_virtual_key(self, number: int) -> None:
        self._tick()
        draws = self._draws
        owners = self._owners[draws.deal(KEY_PLACES)] or self._owners["main team"]
        owner = draws.pick_early(owners)
        itself = Owner("virtual_key_id", draws.uuid(), owner.language)
        task = draws.pick(owner.language.tasks)
        task = self._lengthened(task, owner.language.teams)
        value = f"{VALUE_PREFIX}{draws.uuid()}"
        aligned = self._add_budgets(itself, draws.deal((0, 0, 0, 1, 1, 2)), 1)
        self._rows.add(
            models.VirtualKey,
            id=itself.id,
            name=f"{task} {draws.pick(STAGES)} {number}",
            description=draws.deal(DESCRIPTIONS),
            value=value,
            value_hash=value_hash(value),
            encryption_status="plain_text",
            is_active=int(not draws.deal(RARELY)),
            rate_limit_id=self._add_rate_limit(1),
            calendar_aligned=aligned,
            created_by_user_id=draws.pick((None, f"user-{draws.below(200):03}")),
            expires_at=self._expiry(),
            config_hash=draws.digest(),
            **{owner.column: owner.id},
        )
        count = draws.deal((0, 1, 1, 1, 2, 2, 3, 4))
        providers = draws.some(PROVIDERS, count)
        for provider in providers:
            self._add_provider_config(itself.id, provider, aligned)
        if draws.deal(RARELY) and providers:
            self._add_model_config(itself.id, providers[0])
        for client in draws.some(range(len(MCP_CLIENTS)), draws.deal((0, 0, 0, 1, 2))):
            self._add_mcp_config(itself.id, client)

    def _add_provider_config(self, key_id: str, provider: str, aligned: int) -> None:
        draws = self._draws
        everything: tuple[str, ...] = PROVIDERS[provider]
        allowed = draws.some(everything, draws.deal((0, 1, 2)))
        attached = draws.some(self._provider_keys[provider], draws.deal((0, 0, 1, 2)))
        number = self._rows.add(
            models.ProviderConfig,
            virtual_key_id=key_id,
            provider=provider,
            weight=draws.deal(WEIGHTS),
            allowed_models=json_text(allowed or ["*"]),
            blacklisted_models=json_text(everything[2:] if not allowed else []),
            allow_all_keys=int(not attached),
            rate_limit_id=self._add_rate_limit(1) if draws.deal(RARELY) else None,
        )
        for key in attached:
            self._rows.add(
                models.ProviderConfigKey, provider_config_id=number, provider_key_id=key
            )
        config = Owner("provider_config_id", number, ENGLISH)
        self._add_budgets(config, draws.deal(RARELY), 1, aligned)

    def _add_model_config(self, key_id: str, provider: str) -> None:
        """Add a model config: the limits of a virtual key for one model."""
        itself = Owner("model_config_id", self._draws.uuid(), ENGLISH)
        self._rows.add(
            models.ModelConfig,
            id=itself.id,
            model_name=self._draws.pick(PROVIDERS[provider]),
            provider=provider,
            scope=VIRTUAL_KEY,
            scope_id=key_id,
            rate_limit_id=self._add_rate_limit(1),
            calendar_aligned=self._add_budgets(itself, self._draws.deal((1, 1, 2)), 1),
            config_hash=self._draws.digest(),
        )

    def _add_mcp_config(self, key_id: str, client: int) -> None:
        tools = tuple(MCP_CLIENTS.values())[client][2]
        chosen = self._draws.some(tools, self._draws.deal((0, 1, 2)))
        self._rows.add(
            models.McpConfig,
            virtual_key_id=key_id,
            mcp_client_id=client + 1,
            tools_to_execute=json_text(chosen or ["*"]),
        )

    def _add_budgets(
        self, owner: Owner, count: int, scale: int, aligned: int | None = None
    ) -> int:
        """Add an owner's budgets; return whether both are calendar-aligned.

        Those of a provider config are as its virtual key is: `aligned`.
        """
        if aligned is None:  # an older gateway without a budget does not say
            aligned = self._draws.deal((1, 0, 0)) if count else 0
        for period in self._draws.some(PERIODS, count):
            limit = self._draws.pick(AMOUNTS) * scale
            length, start = PERIODS[period]
            self._rows.add(
                models.Budget,
                id=f"budget-{self._rows.counts[models.Budget] + 1:06}",
                max_limit=limit,
                reset_duration=period,
                last_reset=stored_time(start) if aligned else self._last_reset(length),
                current_usage=round(self._draws.usage(limit), 6),
                calendar_aligned=aligned,
                **{owner.column: owner.id},
            )
        return aligned

    def _add_rate_limit(self, scale: int) -> str | None:
        """Add a rate limit with both halves or one, if any; return its id."""
        halves = self._draws.deal(HALVES)
        if not halves:
            return None
        limit_id = f"limit-{self._rows.counts[models.RateLimit] + 1:06}"
        row: dict[str, Any] = {"token_current_usage": 0, "request_current_usage": 0}
        for half in halves:
            limit = self._draws.pick(RATE_LIMITS[half]) * scale
            period = self._draws.pick(tuple(RATE_PERIODS))
            row[f"{half}_max_limit"] = limit
            row[f"{half}_reset_duration"] = period
            row[f"{half}_current_usage"] = int(self._draws.usage(limit))
            row[f"{half}_last_reset"] = self._last_reset(RATE_PERIODS[period])
        self._rows.add(models.RateLimit, id=limit_id, **row)
        return limit_id

    def _last_reset(self, period: int) -> str:
        return stored_time(max(self._clock, NOW - self._draws.below(period)))

    def _expiry(self) -> str | None:
        when = self._draws.deal((None,) * 7 + ("past", "future", "future"))
        if when == "past":
            return stored_time(self._clock + self._draws.below(NOW - self._clock))
        return (
            stored_time(NOW + DAY * (365 + self._draws.below(3650))) if when else None
        )

    def _id(self, kind: str, word: str, number: int) -> str:
        if not word.isascii():
            return self._draws.uuid()
        return f"{kind}-{word.lower().replace(' ', '-')}-{number + 1}"

    def _name(self, kind: str, name: str, more: Sequence[str], number: int) -> str:
        """Return a name unlike all others of its kind, now and then a very long one."""
        name = self._lengthened(name, more)
        if (kind, name) in self._names:
            name = f"{name} {number + 1}"
        self._names.add((kind, name))
        return name

    def _lengthened(self, name: str, more: Sequence[str]) -> str:
        return f"{name} ({', '.join(more)})" if self._draws.deal(RARELY) else name
