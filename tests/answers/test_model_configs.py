"""Budgets and limits of virtual keys and provider configs by model configs (July).

Each test name is a sentence of the contract's "Where it is stored".
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway import T1, T2, T3, Gateway
from reading import the_key
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]
Entity = dict[str, Any]


@pytest.fixture
def gateway(gateway: Gateway) -> Gateway:
    """A July database: team t, key k with budgets, limits and two provider configs."""
    gateway.team("t")
    for limit in ("own", "config", "new"):
        gateway.rate_limit(limit)
    gateway.virtual_key("k", team_id="t", rate_limit_id="own", calendar_aligned=0)
    gateway.provider_config(1, "k", provider="openai", rate_limit_id="config")
    gateway.provider_config(2, "k", provider="azure")
    gateway.budget("own", "virtual_key_id", "k")
    gateway.budget("config", "provider_config_id", 1)
    return gateway


@pytest.fixture
def key(get: Get) -> Callable[[], Entity]:
    """key(): the virtual key k as it is answered now."""
    return lambda: get("teams").json["teams"][0]["virtual_keys"][0]


Key = Callable[[], Entity]


def config(key: Entity, id: int = 1) -> Entity:
    return next(each for each in key["provider_configs"] if each["id"] == id)


def spending(entity: Entity) -> tuple[list[str], str | None, str | None]:
    """The budgets of an entity, its rate_limit_id, and the id of its rate_limit."""
    limit = entity.get("rate_limit", {}).get("id")
    return [b["id"] for b in entity["budgets"]], entity.get("rate_limit_id"), limit


def add_budget(gateway: Gateway, id: str, model_config: str, **values: Any) -> None:
    gateway.budget(id, model_config_id=model_config, **values)


OWN = (["own"], "own", "own")
CONFIGS_OWN = (["config"], "config", "config")
NOTHING: tuple[list[str], None, None] = ([], None, None)


@pytest.mark.parametrize("provider", [None, ""])
def test_a_row_without_a_provider_governs_the_key_itself(
    gateway: Gateway, key: Key, provider: str | None
) -> None:
    gateway.model_config("m", "k", provider=provider, rate_limit_id="new")
    add_budget(gateway, "b", "m")

    assert spending(key()) == (["b"], "new", "new")
    assert spending(config(key())) == CONFIGS_OWN


def test_a_row_of_a_provider_governs_the_keys_provider_config_of_it(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k", provider="openai", rate_limit_id="new")
    add_budget(gateway, "b", "m")

    assert spending(key()) == OWN
    assert spending(config(key(), 1)) == (["b"], "new", "new")
    assert spending(config(key(), 2)) == NOTHING


def test_where_there_is_such_a_row_it_replaces_also_by_nothing(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k")
    gateway.model_config("n", "k", provider="openai")

    assert spending(key()) == NOTHING
    assert spending(config(key())) == NOTHING


def test_where_there_is_none_their_own_stands(gateway: Gateway, key: Key) -> None:
    gateway.model_config("m", "another")
    gateway.model_config("n", "another", provider="openai")

    assert spending(key()) == OWN
    assert spending(config(key())) == CONFIGS_OWN


@pytest.mark.parametrize("scope", ["global", "user", "Virtual_Key", "", None])
def test_rows_of_other_scopes_are_not_ours(
    gateway: Gateway, key: Key, scope: str | None
) -> None:
    for provider in (None, "openai"):
        for model_name in ("*", "o3"):
            id = f"{provider} {model_name}"
            gateway.model_config(id, "k", model_name, provider, scope=scope)

    found = key()

    assert (spending(found), spending(config(found))) == (OWN, CONFIGS_OWN)
    assert "model_budgets" not in found.keys() | config(found).keys()


@pytest.mark.parametrize("provider", ["OpenAI", "openai ", "bedrock"])
def test_a_row_of_another_provider_governs_nothing(
    gateway: Gateway, key: Key, provider: str
) -> None:
    gateway.model_config("m", "k", provider=provider)

    found = key()

    assert (spending(found), spending(config(found))) == (OWN, CONFIGS_OWN)


@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize("provider", [None, ""])
def test_a_provider_config_of_no_provider_is_governed_by_none(
    gateway: Gateway, key: Key, provider: str | None, stored: str | None
) -> None:
    gateway.provider_config(3, "k", provider=stored, rate_limit_id="config")
    gateway.model_config("m", "k", provider=provider)
    gateway.model_config("n", "k", "o3", provider)

    assert spending(config(key(), 3)) == ([], "config", "config")
    assert "model_budgets" not in config(key(), 3)


def test_of_two_rows_for_the_same_the_first_governs(gateway: Gateway, key: Key) -> None:
    gateway.model_config("a", "k", created_at=T2)
    gateway.model_config("b", "k", provider="", created_at=T1, rate_limit_id="new")
    gateway.model_config("c", "k", created_at=T1)

    assert spending(key()) == ([], "new", "new")


def test_a_provider_twice_in_a_key_is_governed_twice(
    gateway: Gateway, key: Key
) -> None:
    gateway.provider_config(3, "k", provider="openai")
    gateway.model_config("m", "k", provider="openai")
    add_budget(gateway, "b", "m")

    budgets = [config(key(), id)["budgets"][0] for id in (1, 3)]

    assert [budget["provider_config_id"] for budget in budgets] == [1, 3]


def test_the_budgets_come_by_creation_and_then_by_id(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k")
    add_budget(gateway, "c", "m", created_at=T1)
    add_budget(gateway, "a", "m", created_at=T2)
    add_budget(gateway, "b", "m", created_at=T1)
    add_budget(gateway, "spurious", "n", created_at=T1)

    assert [budget["id"] for budget in key()["budgets"]] == ["b", "c", "a"]


def test_a_budget_names_the_owner_that_its_model_config_governs(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k")
    gateway.model_config("n", "k", provider="azure")
    add_budget(gateway, "b", "m")
    add_budget(gateway, "c", "n")

    (of_key,), (of_config,) = key()["budgets"], config(key(), 2)["budgets"]

    assert of_key["virtual_key_id"] == "k"
    assert of_config["provider_config_id"] == 2
    assert not {"model_config_id", "team_id"} & (of_key.keys() | of_config.keys())


def test_a_budget_that_names_both_counts_by_each_name(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k", provider="openai")
    add_budget(gateway, "both", "m", virtual_key_id="k", created_at=T3)

    assert spending(key())[0] == ["own", "both"]
    assert spending(config(key()))[0] == ["both"]


def test_a_model_configs_own_budget_id_says_nothing(gateway: Gateway, key: Key) -> None:
    gateway.budget("named")

    gateway.model_config("m", "k", budget_id="named")

    assert spending(key()) == NOTHING


def test_a_limit_that_is_not_there_keeps_its_id(gateway: Gateway, key: Key) -> None:
    gateway.model_config("m", "k", rate_limit_id="gone")

    assert spending(key()) == ([], "gone", None)


@pytest.mark.parametrize(("stored", "shown"), [(1, True), (0, False), (None, False)])
def test_a_model_configs_budget_has_its_alignment(
    gateway: Gateway, key: Key, stored: int | None, shown: bool
) -> None:
    aligned = {"calendar_aligned": stored}
    gateway.model_config("m", "k", **aligned)
    gateway.model_config("n", "k", provider="azure", **aligned)
    gateway.model_config("o", "k", "o3", **aligned)
    for model_config in ("m", "n", "o"):
        add_budget(gateway, model_config, model_config)

    found = key()

    budgets = [found["budgets"], config(found, 2)["budgets"]]
    budgets.append(found["model_budgets"][0]["budgets"])
    assert [budget["calendar_aligned"] for (budget,) in budgets] == [shown] * 3
    assert found["calendar_aligned"] is False


@pytest.mark.parametrize("stored", [1, 0])
def test_a_key_whose_column_is_missing_is_aligned_if_a_budget_is(
    gateway: Gateway, key: Key, stored: int
) -> None:
    gateway.execute("UPDATE governance_virtual_keys SET calendar_aligned = NULL")
    gateway.model_config("m", "k", calendar_aligned=stored)
    add_budget(gateway, "b", "m")

    found = key()

    assert found["calendar_aligned"] is bool(stored)
    assert config(found)["budgets"][0]["calendar_aligned"] is bool(stored)


def test_rows_with_another_model_name_are_model_budgets_of_the_provider_config(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k", "o3", "openai", rate_limit_id="new")
    add_budget(gateway, "b", "m")

    (found,) = config(key())["model_budgets"]

    assert list(found) == ["model_name", "budgets", "rate_limit"]
    assert found["model_name"] == "o3"
    assert [budget["id"] for budget in found["budgets"]] == ["b"]
    assert found["budgets"][0]["provider_config_id"] == 1
    assert found["rate_limit"]["id"] == "new"
    assert spending(config(key())) == CONFIGS_OWN


def test_those_without_a_provider_are_model_budgets_of_the_key(
    gateway: Gateway, key: Key
) -> None:
    gateway.model_config("m", "k", "o3")
    add_budget(gateway, "b", "m")

    (found,) = key()["model_budgets"]

    assert list(found) == ["model_name", "budgets"]
    assert found["budgets"][0]["virtual_key_id"] == "k"
    assert all("model_budgets" not in each for each in key()["provider_configs"])


def test_model_budgets_come_by_creation_and_then_by_id(
    gateway: Gateway, key: Key
) -> None:
    for id, created_at in {"c": T2, "b": T1, "a": T2, "d": T1}.items():
        gateway.model_config(id, "k", f"model-{id}", created_at=created_at)

    names = [each["model_name"] for each in key()["model_budgets"]]

    assert names == ["model-b", "model-d", "model-a", "model-c"]


def test_a_row_that_cannot_be_read_breaks_no_list(gateway: Gateway, key: Key) -> None:
    broken = {"calendar_aligned": "often", "created_at": "yesterday"}
    gateway.model_config("m", "k", None, **broken)
    gateway.model_config("n", "k", "", rate_limit_id=b"\xff", **broken)
    gateway.model_config("o", "k", provider="openai", **broken)
    gateway.model_config("p", "k", provider="openai", **broken)
    for model_config in ("m", "o"):
        add_budget(gateway, f"b-{model_config}", model_config)

    found = key()

    assert [each["model_name"] for each in found["model_budgets"]] == ["", ""]
    assert config(found)["budgets"][0]["calendar_aligned"] is False


def test_a_budget_of_a_model_config_is_not_a_keys_that_still_names_it(
    tmp_path: Path,
) -> None:
    own = Gateway(tmp_path / "own.db", "own")
    own.team("t")
    own.virtual_key("k", team_id="t", budget_id="b")
    own.model_config("m", scope="global")
    own.budget("b", model_config_id="m")

    assert the_key(own.path)["budgets"] == []
