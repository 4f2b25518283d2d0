"""Every form of a config.json that a gateway reads becomes the same rows.

The forms that stand in files of other people need these, in the folder CASES names.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from config_files import BUDGET, CUSTOMER, KEY, LIMIT, TEAM, governance
from gateway import Gateway, add_model_configs, fill
from reading import answers, lists, select

from transfer.loading import Loaded, LoadError, load_files
from values import stored_time, value_hash


class Own:
    """Our own database, and the files that go into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "own.db"

    def load(self, config: Any, name: str = "config.json", **how: bool) -> Loaded:
        file = self.folder / name
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        return load_files([file], self.path, **how)

    def notes(self, config: Any, **how: bool) -> list[str]:
        """The notes of a load, each without the place of the file."""
        return self.shortened(self.load(config, **how).notes)

    def problems(self, config: Any, **how: bool) -> list[str]:
        with pytest.raises(LoadError) as wrong:
            self.load(config, **how)
        return self.shortened(wrong.value.problems)

    def shortened(self, lines: list[str]) -> list[str]:
        return [line.replace(f"{self.folder}/", "") for line in lines]

    def teams(self) -> list[Any]:
        teams: list[Any] = answers(self.path)["teams"]
        return teams

    def customers(self) -> list[Any]:
        customers: list[Any] = answers(self.path)["customers"]
        return customers

    def key(self) -> Any:
        return self.teams()[0]["virtual_keys"][0]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


def of_a_key(**members: Any) -> dict[str, Any]:
    """A config with one team and its one virtual key."""
    return governance(teams=[TEAM], virtual_keys=[{**KEY, "team_id": "t", **members}])


# The files of other people


@pytest.fixture
def case(own: Own) -> Callable[[str], Loaded]:
    """Loads a file of the folder CASES names."""
    if "CASES" not in os.environ:
        pytest.skip("CASES names no folder")

    def load(name: str) -> Loaded:
        return load_files([Path(os.environ["CASES"]) / name], own.path)

    return load


def test_budgets_and_limits_stand_within_what_they_belong_to(
    own: Own, case: Callable[[str], Loaded]
) -> None:
    case("inline_budgets.json")

    text = json.dumps(answers(own.path))
    ids = ("bc", "bt", "bv", "bp", "rc", "rt", "rp")
    assert [id for id in ids if f'"id": "{id}"' not in text] == []


def test_a_value_is_read_from_the_environment_and_without_it_its_key_is_left_out(
    own: Own, case: Callable[[str], Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VKTWO", "sk-bf-from-env")

    loaded = case("env_virtual_key.json")

    values = dict(select(own.path, "SELECT id, value FROM governance_virtual_keys"))
    assert values["v2"] == "sk-bf-from-env"
    assert "v3" not in values
    assert [note for note in loaded.notes if "left out" in note]
    assert b"env.VKTWO" not in own.path.read_bytes()


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("key_without_name.json", "config_keys"),
        ("virtual_key_without_name.json", "governance_virtual_keys"),
    ],
)
def test_what_has_no_name_has_an_empty_one(
    own: Own, case: Callable[[str], Loaded], name: str, table: str
) -> None:
    case(name)

    names = select(own.path, f"SELECT coalesce(name, '') FROM {table}")
    assert ("",) in names


def test_a_shared_budget_is_refused_with_its_owners_and_what_to_do(
    case: Callable[[str], Loaded],
) -> None:
    with pytest.raises(LoadError) as wrong:
        case("shared_budget.json")

    (problem,) = wrong.value.problems
    assert problem.count("team") >= 1
    assert "is of" in problem
    assert "a budget of its own" in problem


@pytest.mark.parametrize("name", ["durations_and_zero.json", "durations_newest.json"])
def test_durations_are_taken_as_they_stand(
    own: Own, case: Callable[[str], Loaded], name: str
) -> None:
    case(name)

    loaded = select(own.path, "SELECT reset_duration FROM governance_budgets")
    loaded += select(
        own.path, "SELECT token_reset_duration FROM governance_rate_limits"
    )
    text = (Path(os.environ["CASES"]) / name).read_text()
    assert loaded
    assert [each for (each,) in loaded if each and f'"{each}"' not in text] == []


def test_a_value_may_be_an_object(
    own: Own, case: Callable[[str], Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VKTWO", "sk-bf-from-env")

    case("virtual_key_value_as_object.json")

    values = select(own.path, "SELECT value FROM governance_virtual_keys")
    assert ("sk-bf-from-env",) in values


def test_an_mcp_config_of_no_client_is_left_out_and_named(
    own: Own, case: Callable[[str], Loaded]
) -> None:
    loaded = case("mcp_client_not_there.json")

    assert [note for note in loaded.notes if "mcp_configs" in note]
    assert select(own.path, "SELECT count(*) FROM governance_virtual_keys") == [(1,)]


def test_a_file_with_nothing_of_ours_is_said_to_be_one(
    case: Callable[[str], Loaded],
) -> None:
    loaded = case("only_plugins.json")

    (note,) = loaded.notes
    assert note.endswith("a configuration with nothing of governance, providers or mcp")


def test_the_names_of_providers_are_lowered(
    own: Own, case: Callable[[str], Loaded]
) -> None:
    case("provider_name_in_capitals.json")

    assert select(own.path, "SELECT name FROM config_providers") == [("openai",)]
    attached = select(
        own.path,
        "SELECT name FROM config_keys JOIN governance_virtual_key_provider_config_keys"
        " ON table_key_id = id",
    )
    assert attached == [("k1",)]


# What is not known


def test_what_is_not_known_is_named_once_a_kind_with_a_count(own: Own) -> None:
    teams = [{**TEAM, "nmae": "x"}, {"id": "u", "name": "U", "nmae": "y"}]

    assert own.notes({"governance": {"teams": teams}, "mpc": {}}) == [
        'config.json: mpc: not known, passed over; did you mean "mcp"?',
        "config.json: governance.teams[0].nmae: not known, passed over;"
        ' did you mean "name"? (2 times)',
    ]
    assert len(own.teams()) == 2


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"governance": {"limits": []}}, "governance.limits"),
        ({"mcp": {"servers": []}, "governance": {}}, "mcp.servers"),
        (governance(customers=[{**CUSTOMER, "tier": 1}]), "governance.customers[0]"),
        (governance(budgets=[{**BUDGET, "cap": 1}]), "governance.budgets[0].cap"),
        (governance(rate_limits=[{**LIMIT, "x": 1}]), "governance.rate_limits[0].x"),
        (of_a_key(plan="x"), "governance.virtual_keys[0].plan"),
        (
            of_a_key(budget={**BUDGET, "cap": 1}),
            "governance.virtual_keys[0].budget.cap",
        ),
        (
            of_a_key(provider_configs=[{"provider": "openai", "tier": 1}]),
            "governance.virtual_keys[0].provider_configs[0].tier",
        ),
        ({"providers": {"openai": {"region": "eu"}}}, "providers.openai.region"),
        (
            {"providers": {"azure": {"keys": [{"name": "k", "owner": "x"}]}}},
            "providers.azure.keys[0].owner",
        ),
        (
            {"mcp": {"client_configs": [{"name": "m", "note": "x"}]}},
            "mcp.client_configs[0].note",
        ),
        (
            governance(model_configs=[{"model_name": "o3", "tier": 1}]),
            "governance.model_configs[0].tier",
        ),
    ],
)
def test_what_is_not_known_is_named_wherever_it_stands(
    own: Own, config: Any, place: str
) -> None:
    (note,) = own.notes(config)

    assert note.startswith(f"config.json: {place}")
    assert "not known, passed over" in note


def test_a_misspelt_name_is_named_where_it_stops_the_load(own: Own) -> None:
    with pytest.raises(LoadError) as wrong:
        own.load(governance(teams=[{"nmae": "Red"}]))

    (note,) = own.shortened([*wrong.value.notes])
    assert own.shortened(wrong.value.problems) == [
        "config.json: governance.teams[0].id: is missing"
    ]
    assert note.startswith("config.json: governance.teams[0].nmae: not known")


def test_with_strict_nothing_is_loaded_where_something_is_not_known(own: Own) -> None:
    config = governance(teams=[{**TEAM, "nmae": "x"}])

    (problem,) = own.problems(config, strict=True)

    assert problem.startswith("config.json: governance.teams[0].nmae: not known")
    assert not own.path.exists()


def test_what_gateways_know_and_we_do_not_need_is_passed_over_without_a_word(
    own: Own,
) -> None:
    config = {
        "$schema": "https://www.getbifrost.ai/schema",
        "client": {"drop_excess_requests": True},
        "config_store": {"enabled": True},
        "logs_store": {"enabled": False},
        "vector_store": {},
        "framework": {},
        "plugins": [],
        "auth_config": {},
        "providers": {"openai": {"network_config": {"max_retries": 1}, "keys": []}},
        "governance": {"teams": [TEAM], "routing_rules": [], "auth_config": {}},
        "mcp": {"tool_manager_config": {}, "client_configs": []},
    }

    assert own.notes(config, strict=True) == []


@pytest.mark.parametrize("part", ["client", "plugins", "logs_store", "vector_store"])
def test_a_configuration_of_other_things_is_said_to_be_one(own: Own, part: str) -> None:
    assert own.notes({part: {}}) == [
        "config.json: is a configuration with nothing of governance, providers or mcp"
    ]


# Names in any case


def test_members_may_be_spelt_in_any_case(own: Own) -> None:
    team = {"ID": "t", "Name": "Team", "BUDGETS": [{"Id": "b", "Max_Limit": 3}]}
    team["BUDGETS"][0]["RESET_DURATION"] = "1d"
    key = {"Id": "v", "name": "Key", "Team_ID": "t"}
    key["Provider_Configs"] = [{"PROVIDER": "openai", "Allowed_Models": ["o3"]}]

    assert own.notes({"Governance": {"Teams": [team], "VIRTUAL_KEYS": [key]}}) == []

    (answered,) = own.teams()
    assert answered["budgets"][0]["max_limit"] == 3
    (virtual_key,) = answered["virtual_keys"]
    assert virtual_key["provider_configs"][0]["allowed_models"] == ["o3"]


def test_what_stands_in_free_objects_keeps_its_names(own: Own) -> None:
    own.load(governance(teams=[{**TEAM, "profile": {"Tier": 1, "tier": 2}}]))

    assert own.teams()[0]["profile"] == {"Tier": 1, "tier": 2}


# What stands within what it belongs to, or beside it


OWNED = {
    "nested object": {"budget": BUDGET},
    "nested list": {"budgets": [BUDGET]},
    "named by the owner": {"budget_id": "b"},
}


@pytest.mark.parametrize("form", OWNED)
@pytest.mark.parametrize("noun", ["customers", "teams", "virtual_keys"])
def test_a_budget_in_any_form_is_its_owners(own: Own, form: str, noun: str) -> None:
    owner = {"customers": CUSTOMER, "teams": TEAM, "virtual_keys": KEY}[noun]
    lists: dict[str, Any] = {"budgets": [BUDGET]} if "named" in form else {}

    own.load(governance(**{noun: [{**owner, **OWNED[form]}]}, **lists))

    column = f"{noun.removesuffix('s')}_id"
    (row,) = select(own.path, f"SELECT id, {column} FROM governance_budgets")
    assert row == ("b", owner["id"])


@pytest.mark.parametrize("noun", ["customers", "teams", "virtual_keys"])
def test_a_budget_names_its_owner(own: Own, noun: str) -> None:
    owner = {"customers": CUSTOMER, "teams": TEAM, "virtual_keys": KEY}[noun]
    column = f"{noun.removesuffix('s')}_id"
    budget = {**BUDGET, column: owner["id"]}

    own.load(governance(**{noun: [owner]}, budgets=[budget]))

    assert select(own.path, f"SELECT {column} FROM governance_budgets") == [
        (owner["id"],)
    ]


def test_a_budget_that_names_two_owners_is_refused_with_both(own: Own) -> None:
    budget = {**BUDGET, "customer_id": "c", "team_id": "t"}
    parts = {"customers": [CUSTOMER], "teams": [TEAM], "budgets": [budget]}

    assert own.problems(governance(**parts)) == [
        'config.json: governance.budgets[0].id: budget "b" is of team "t" and customer'
        ' "c"; give each a budget of its own'
    ]


def test_what_is_wrong_with_an_owner_is_not_said_of_its_budget_too(own: Own) -> None:
    assert own.problems(
        governance(teams=[{**TEAM, "profile": 5, "budget": BUDGET}])
    ) == ["config.json: governance.teams[0].profile: must be an object"]


def test_a_budget_that_a_database_gives_to_two_is_kept_as_it_is(own: Own) -> None:
    gateway = Gateway(own.folder / "config.db", "own")
    gateway.team("t")
    gateway.team("u", budget_id="b")
    gateway.budget("b", team_id="t")

    load_files([gateway.path], own.path)

    assert answers(own.path) == answers(gateway.path)


@pytest.mark.parametrize("by", ["nested", "number", "named"])
def test_a_budget_of_a_provider_config_is_found_by_any_link(own: Own, by: str) -> None:
    config: dict[str, Any] = {"provider": "openai", "id": 7}
    budgets = [{**BUDGET, **({"provider_config_id": 7} if by == "number" else {})}]
    if by == "named":
        config["budget_id"] = "b"
    elif by == "nested":
        config["budgets"], budgets = budgets, []
    key = {**KEY, "team_id": "t", "provider_configs": [config]}

    own.load(governance(teams=[TEAM], virtual_keys=[key], budgets=budgets))

    (answered,) = own.key()["provider_configs"]
    assert [budget["id"] for budget in answered["budgets"]] == ["b"]


@pytest.mark.parametrize("noun", ["customers", "teams", "virtual_keys"])
def test_a_nested_rate_limit_is_its_owners(own: Own, noun: str) -> None:
    owner = {"customers": CUSTOMER, "teams": TEAM, "virtual_keys": KEY}[noun]

    own.load(governance(**{noun: [{**owner, "rate_limit": LIMIT}]}))

    assert select(own.path, f"SELECT rate_limit_id FROM governance_{noun}") == [("r",)]
    assert select(own.path, "SELECT token_max_limit FROM governance_rate_limits") == [
        (10,)
    ]


def test_nested_things_without_an_id_get_ids_that_stay(own: Own) -> None:
    limit = {name: each for name, each in LIMIT.items() if name != "id"}
    budget = {name: each for name, each in BUDGET.items() if name != "id"}
    config = of_a_key(budget=budget, rate_limit=limit)
    own.load(config)
    before = own.key()

    again = own.load(config)

    assert before["budgets"][0]["max_limit"] == 10
    assert own.key() == before
    assert set(again.counts.values()) == {0}


def test_an_owner_may_stand_within_what_it_owns(own: Own) -> None:
    keys = [
        {**KEY, "team": {**TEAM, "customer": CUSTOMER}},
        {"id": "w", "name": "W", "customer": CUSTOMER},
    ]

    own.load(governance(virtual_keys=keys))

    (customer,) = own.customers()
    assert customer["teams"][0]["virtual_keys"][0]["id"] == "v"
    assert [key["id"] for key in customer["virtual_keys"]] == ["w"]


def test_what_it_owns_may_stand_within_an_owner(own: Own) -> None:
    team = {**TEAM, "virtual_keys": [KEY]}

    own.load(governance(customers=[{**CUSTOMER, "teams": [team]}]))

    (customer,) = own.customers()
    assert customer["teams"][0]["virtual_keys"][0]["id"] == "v"


def test_a_thing_may_stand_in_others_by_its_id_alone(own: Own) -> None:
    team = {**TEAM, "budget": {"id": "b"}, "rate_limit": {"id": "r"}}
    key = {**KEY, "team": {"id": "t"}}
    parts = {"teams": [team], "virtual_keys": [key], "budgets": [BUDGET]}

    assert own.notes(governance(**parts, rate_limits=[LIMIT])) == []

    (answered,) = own.teams()
    assert [budget["id"] for budget in answered["budgets"]] == ["b"]
    assert answered["rate_limit"]["id"] == "r"
    assert [each["id"] for each in answered["virtual_keys"]] == ["v"]


def test_a_thing_may_stand_in_several_and_be_listed_too(own: Own) -> None:
    keys = [{"id": id, "name": id, "team": TEAM} for id in ("v", "w")]

    own.load(governance(teams=[TEAM], virtual_keys=keys))

    (answered,) = own.teams()
    assert [each["id"] for each in answered["virtual_keys"]] == ["v", "w"]


def test_what_stands_in_a_key_does_not_make_two_keys_of_one_id_good(own: Own) -> None:
    keys = [{**KEY, "team": TEAM}, {**KEY, "name": "Other"}]

    (problem,) = own.problems(governance(virtual_keys=keys))

    assert 'governance.virtual_keys[1].id: "v" is also at' in problem


def test_what_stands_in_another_and_is_not_there_is_refused(own: Own) -> None:
    key = {**KEY, "team": {"id": "x"}}

    assert own.problems(governance(virtual_keys=[key])) == [
        'config.json: governance.virtual_keys[0].team_id: no team "x"'
    ]


@pytest.mark.parametrize("id", [[], {}, True, 1.5], ids=str)
def test_an_id_that_is_no_text_is_refused_with_its_place(own: Own, id: Any) -> None:
    assert own.problems(governance(teams=[{"id": id, "name": "T"}])) == [
        "config.json: governance.teams[0].id: must be text or a number"
    ]


@pytest.mark.parametrize("name", ["id", "number"])
def test_a_number_of_a_config_that_is_none_is_refused(own: Own, name: str) -> None:
    config = {"provider": "openai", name: "seven"}

    assert own.problems(of_a_key(provider_configs=[config])) == [
        "config.json: governance.virtual_keys[0].provider_configs[0].id: must be a"
        " whole number"
    ]


@pytest.mark.parametrize(
    ("said", "weight"), [({}, 0), ({"weight": None}, None), ({"weight": 0.5}, 0.5)]
)
def test_a_provider_key_without_a_weight_has_none_only_if_it_says_so(
    own: Own, said: dict[str, Any], weight: float | None
) -> None:
    own.load({"providers": {"openai": {"keys": [{"name": "k", **said}]}}})

    assert select(own.path, "SELECT weight FROM config_keys") == [(weight,)]


def test_null_is_as_good_as_nothing(own: Own) -> None:
    team = {
        **TEAM,
        "customer_id": None,
        "budget": None,
        "budgets": None,
        "profile": None,
    }
    key = {**KEY, "team_id": "t", "provider_configs": None, "is_active": None}

    assert own.notes(governance(teams=[team], virtual_keys=[key], customers=None)) == []

    assert own.key()["is_active"] is True


def test_a_reference_that_is_empty_is_none(own: Own) -> None:
    empty = dict.fromkeys(("customer_id", "budget_id", "rate_limit_id"), "")
    key = {**KEY, **empty, "team_id": "t"}

    assert own.notes(governance(teams=[{**TEAM, **empty}], virtual_keys=[key])) == []

    assert own.key()["id"] == "v"


def test_an_empty_id_of_a_provider_key_is_none(own: Own) -> None:
    keys = [{"id": "", "name": name} for name in ("k", "l")]

    own.load({"providers": {"openai": {"keys": keys}}})

    assert len(set(select(own.path, "SELECT key_id FROM config_keys"))) == 2


def test_an_aligned_rate_limit_aligns_its_owner(own: Own) -> None:
    limit = {**LIMIT, "calendar_aligned": True}

    own.load(governance(teams=[{**TEAM, "rate_limit": limit}]))

    assert own.teams()[0]["calendar_aligned"] is True


# Lists written by hand


def test_the_smallest_thing_that_one_would_try_loads(own: Own) -> None:
    assert own.notes({"teams": [{"name": "Red"}]}) == []

    assert [team["name"] for team in own.teams()] == ["Red"]


def test_a_plain_list_is_of_teams(own: Own) -> None:
    own.load([{"name": "Red", "budget": {"max_limit": 5, "reset_duration": "1d"}}])

    (team,) = own.teams()
    assert (team["name"], team["budgets"][0]["max_limit"]) == ("Red", 5)


def test_ids_made_of_names_stay_and_go_to_who_has_the_name(own: Own) -> None:
    own.load({"teams": [{"name": "Red"}]})
    (made,) = own.teams()
    own.load({"teams": [{"name": "Red", "source_id": "scim"}]})
    (again,) = own.teams()
    own.load({"teams": [{"id": "t", "name": "Blue"}]}, replace=True)

    own.load({"teams": [{"name": "Blue", "profile": {"a": 1}}]})

    assert again["id"] == made["id"]
    (blue,) = own.teams()
    assert (blue["id"], blue["profile"]) == ("t", {"a": 1})


def test_what_stands_in_a_thing_known_by_its_name_is_its_own(own: Own) -> None:
    own.load(governance(teams=[TEAM], customers=[CUSTOMER]))
    team = {"name": "Team", "budgets": [BUDGET], "virtual_keys": [{"name": "Key"}]}

    own.load({"customers": [{"name": "Customer", "teams": [team]}]})

    (answered,) = own.teams()
    assert (answered["id"], answered["customer_id"]) == ("t", "c")
    assert answered["budgets"][0]["team_id"] == "t"
    assert [key["team_id"] for key in answered["virtual_keys"]] == ["t"]


def test_our_own_answers_of_model_configs_load_as_they_stand(own: Own) -> None:
    gateway = Gateway(own.folder / "config.db", "july")
    fill(gateway)
    add_model_configs(gateway)
    before = answers(gateway.path)

    own.load(before)

    assert answers(own.path) == before


def test_our_own_answers_load_as_they_stand(own: Own, tmp_path: Path) -> None:
    own.load(of_a_key(budget=BUDGET, rate_limit=LIMIT))
    before = answers(own.path)
    other = Own(tmp_path / "other")
    other.folder.mkdir()

    other.load(before)

    assert answers(other.path) == before


def test_the_readmes_file_of_ones_own_loads_and_is_answered_as_it_says(
    own: Own,
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme[readme.index("## On a laptop") :]
    file, answer = re.findall(r"```json\n(.*?)\n```", section, re.DOTALL)[:2]

    loaded = own.load(file)

    assert len(file.splitlines()) == 5
    assert loaded.notes == []
    said = re.escape(" ".join(answer.split())).replace("…", ".*")
    (teams, _) = (json.dumps(json.loads(body)) for body in lists(own.path).values())
    assert re.fullmatch(said, teams)


def test_the_documented_note_of_a_misspelt_name_is_the_one_given(own: Own) -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()

    (note,) = own.shortened(
        own.load('{"teams": [{"id": "t", "nmae": ""}]}', "red.json").notes
    )

    assert f"`note: {note}`" in " ".join(page.split())


# The versions of the file


@pytest.mark.parametrize(
    ("version", "allowed"), [(1, ["*"]), (2, []), (None, [])], ids=str
)
def test_what_is_empty_allows_all_in_version_1_and_nothing_in_2(
    own: Own, version: int | None, allowed: list[str]
) -> None:
    config = of_a_key(provider_configs=[{"provider": "openai", "allowed_models": []}])
    if version:
        config["version"] = version

    own.load(config)

    assert own.key()["provider_configs"][0]["allowed_models"] == allowed


@pytest.mark.parametrize(("version", "all_keys"), [(1, True), (2, False)])
def test_no_keys_are_all_keys_in_version_1_and_none_in_2(
    own: Own, version: int, all_keys: bool
) -> None:
    config = of_a_key(provider_configs=[{"provider": "openai", "key_ids": []}])

    own.load({**config, "version": version})

    assert own.key()["provider_configs"][0]["allow_all_keys"] is all_keys


@pytest.mark.parametrize(
    ("parts", "all_keys"),
    [
        ({}, True),
        ({"model_configs": [{"model_name": "o3"}]}, False),
        ({"budgets": [{**BUDGET, "team_id": "t"}]}, False),
        ({"budgets": [{**BUDGET, "provider_config_id": 7}]}, False),
        ({"budgets": [BUDGET]}, True),
    ],
)
def test_a_file_of_no_version_is_known_by_what_only_newer_gateways_read(
    own: Own, parts: dict[str, Any], all_keys: bool
) -> None:
    config = of_a_key(provider_configs=[{"provider": "openai", "id": 7}])
    config["governance"] |= parts

    own.load(config)

    assert own.key()["provider_configs"][0]["allow_all_keys"] is all_keys


@pytest.mark.parametrize("clients", [{}, 5, [5], [{"name": 3}], [{}]], ids=str)
def test_clients_of_a_wrong_kind_are_refused_in_any_version(
    own: Own, clients: Any
) -> None:
    config = {**of_a_key(), "mcp": {"client_configs": clients}}

    in_1, in_2 = (own.problems({**config, "version": each}) for each in (1, 2))

    assert in_1 == in_2
    assert len(in_1) == 1


@pytest.mark.parametrize(("version", "count"), [(1, 2), (2, 0)])
def test_a_key_of_no_configs_may_use_all_in_version_1_and_nothing_in_2(
    own: Own, version: int, count: int
) -> None:
    providers = {"openai": {"keys": []}, "azure": {"keys": []}}
    clients = [{"name": name} for name in ("weather", "tickets")]
    mcp = {"client_configs": clients}

    own.load({**of_a_key(), "version": version, "providers": providers, "mcp": mcp})

    key = own.key()
    assert len(key["provider_configs"]) == len(key["mcp_configs"]) == count
    for config in key["provider_configs"]:
        assert config["allowed_models"] == ["*"]
    for config in key["mcp_configs"]:
        assert config["tools_to_execute"] == ["*"]


def test_a_version_that_is_no_number_is_refused(own: Own) -> None:
    assert own.problems({**governance(teams=[TEAM]), "version": "2"}) == [
        "config.json: version: must be a number"
    ]


# Virtual keys' values


@pytest.mark.parametrize(
    "value",
    [
        "env.A_VALUE",
        {"value": "env.A_VALUE"},
        {"value": "", "env_var": "env.A_VALUE", "from_env": True},
        {"value": "", "ref": "env.A_VALUE", "type": "env"},
    ],
)
def test_a_value_in_any_form_is_read_from_the_environment(
    own: Own, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_VALUE", "sk-bf-of-the-environment")

    own.load(of_a_key(value=value))

    assert own.key()["value"] == "sk-bf-of-the-environment"


@pytest.mark.parametrize("reference", ["env.NOT_THERE", "vault.path/of#key"])
def test_a_key_whose_value_cannot_be_read_is_left_out_with_what_is_its_own(
    own: Own, reference: str
) -> None:
    config = of_a_key(
        value=reference,
        budget=BUDGET,
        provider_configs=[{"provider": "openai", "budget": {**BUDGET, "id": "c"}}],
    )
    config["governance"]["budgets"] = [{**BUDGET, "id": "d", "virtual_key_id": "v"}]
    config["governance"]["model_configs"] = [
        {"model_name": "o3", "scope": "virtual_key", "scope_id": "v"}
    ]

    (note,) = own.notes(config)

    why = "is not set" if reference.startswith("env.") else "is not read here"
    place = "config.json: governance.virtual_keys[0].value"
    assert note == f"{place}: {reference} {why}; the virtual key is left out"
    assert own.teams()[0]["virtual_keys"] == []
    for table in ("budgets", "model_configs", "virtual_key_provider_configs"):
        assert select(own.path, f"SELECT count(*) FROM governance_{table}") == [(0,)]


def test_a_value_that_no_key_could_have_is_not_kept(own: Own) -> None:
    (note,) = own.notes(of_a_key(value="my-own-key"))

    assert "sk-bf-" in note
    assert "my-own-key" not in note
    assert own.key()["value"].startswith("sk-bf-")
    assert b"my-own-key" not in own.path.read_bytes()


# Model configs


def test_a_model_config_lists_its_budgets_or_has_them_within(own: Own) -> None:
    scope = {"scope": "virtual_key", "scope_id": "v"}
    config = of_a_key(provider_configs=[{"provider": "openai"}])
    config["governance"] |= {
        "budgets": [BUDGET],
        "model_configs": [
            {"id": "m", "model_name": "*", **scope, "budget_ids": ["b"]},
            {"model_name": "o3", "provider": "openai", **scope}
            | {"budgets": [{**BUDGET, "id": "c"}]},
        ],
    }

    assert own.notes(config) == []

    key = own.key()
    assert [budget["id"] for budget in key["budgets"]] == ["b"]
    (model,) = key["provider_configs"][0]["model_budgets"]
    assert [budget["id"] for budget in model["budgets"]] == ["c"]


def test_a_model_may_have_a_limit_and_no_budget(own: Own) -> None:
    model = {"model_name": "o3", "budgets": [], "rate_limit": LIMIT}
    config = {"provider": "openai", "model_budgets": [model]}

    own.load(of_a_key(provider_configs=[config]))

    (answered,) = own.key()["provider_configs"][0]["model_budgets"]
    assert (answered["budgets"], answered["rate_limit"]["id"]) == ([], "r")


def test_a_budget_that_a_model_config_lists_must_be_there(own: Own) -> None:
    config = governance(model_configs=[{"model_name": "o3", "budget_ids": ["x"]}])

    assert own.problems(config) == [
        'config.json: governance.model_configs[0].budget_ids[0]: no budget "x"'
    ]


def test_a_budget_of_a_model_config_and_of_a_team_is_refused(own: Own) -> None:
    config = governance(
        teams=[{**TEAM, "budgets": [BUDGET]}],
        model_configs=[{"id": "m", "model_name": "o3", "budget_ids": ["b"]}],
    )

    (problem,) = own.problems(config)

    assert 'team "t"' in problem
    assert 'model config "m"' in problem


def test_a_model_config_without_an_id_gets_one_that_stays(own: Own) -> None:
    config = governance(model_configs=[{"model_name": "o3", "provider": "openai"}])
    own.load(config)
    scopes = select(own.path, "SELECT scope, scope_id FROM governance_model_configs")

    again = own.load(config)

    assert scopes == [("global", None)]

    assert set(again.counts.values()) == {0}


# Providers as wholes


def test_a_provider_has_its_budget_and_limit(own: Own) -> None:
    limits = {"name": "OpenAI", "budget_id": "b", "rate_limit_id": "r"}
    parts = {"budgets": [BUDGET], "rate_limits": [LIMIT], "providers": [limits]}

    assert own.notes({"providers": {"openai": {"keys": []}}, "governance": parts}) == []

    stored = "SELECT name, budget_id, rate_limit_id FROM config_providers"
    assert select(own.path, stored) == [("openai", "b", "r")]


def test_a_provider_may_be_named_by_the_name_that_answers_have(own: Own) -> None:
    own.load(governance(providers=[{"provider": "OpenAI"}]))

    assert select(own.path, "SELECT name FROM config_providers") == [("openai",)]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({}, "governance.providers[0].name: is missing"),
        ({"name": ""}, "governance.providers[0].name: is missing"),
        ({"name": 5}, "governance.providers[0].name: is missing"),
        (5, "governance.providers[0]: must be an object"),
    ],
)
def test_a_provider_without_a_name_is_refused(
    own: Own, member: Any, words: str
) -> None:
    assert own.problems(governance(providers=[member])) == [f"config.json: {words}"]


@pytest.mark.parametrize("name", ["budget_id", "rate_limit_id"])
def test_a_providers_limit_that_is_not_there_is_refused(own: Own, name: str) -> None:
    (problem,) = own.problems(governance(providers=[{"name": "openai", name: "x"}]))

    assert problem.endswith(f'{name}: no {name[:-3].replace("_", " ")} "x"')


# Times


@pytest.mark.parametrize(
    ("written", "answered"),
    [
        ("2026-04-01", "2026-04-01T00:00:00Z"),
        ("2026-04-01 10:00", "2026-04-01T10:00:00Z"),
        ("2026-04-01 10:00:00.5", "2026-04-01T10:00:00.5Z"),
        ("2026-04-01T12:00:00+02:00", "2026-04-01T10:00:00Z"),
        ("2026-04-01 12:00:00 +0200 CEST", "2026-04-01T10:00:00Z"),
        (1775037600, "2026-04-01T10:00:00Z"),
        (1775037600000, "2026-04-01T10:00:00Z"),
    ],
)
def test_times_are_read_in_every_form(own: Own, written: Any, answered: str) -> None:
    own.load(governance(teams=[{**TEAM, "created_at": written}]))

    assert own.teams()[0]["created_at"] == answered


def test_a_time_out_of_a_database_is_one_that_a_file_may_have(tmp_path: Path) -> None:
    # What our own database stores reads as a file's time, too.
    own = Own(tmp_path)
    own.load(governance(teams=[{**TEAM, "created_at": stored_time(10**18)}]))

    assert own.teams()[0]["created_at"] == "2001-09-09T01:46:40Z"


# Secrets, whatever they come in


SECRETS = [
    {"value": "SECRET"},
    {"value": {"value": "SECRET", "type": "plain_text"}},
    {"value": {"value": "SECRET", "ref": "env.X", "type": "env"}},
    {"value": {"value": "SECRET", "env_var": "env.X", "from_env": True}},
    {"azure_key_config": {"endpoint": "SECRET", "api_version": "SECRET"}},
    {"azure_key_config": {"client_secret": {"value": "SECRET", "ref": "env.X"}}},
    {"vertex_key_config": {"auth_credentials": "SECRET", "project_id": "SECRET"}},
    {"bedrock_key_config": {"secret_key": "SECRET", "session_token": "SECRET"}},
    {"bedrock_key_config": {"batch_s3_config": {"buckets": [{"b": "SECRET"}]}}},
    {"vllm_key_config": {"url": "SECRET"}},
    {"unknown": "SECRET"},
]


@pytest.mark.parametrize("members", SECRETS)
def test_no_secret_of_a_provider_key_is_kept(own: Own, members: Any) -> None:
    key = {"name": "k", **members}
    network = {"extra_headers": {"X": "SECRET"}, "base_url": "http://SECRET@h"}
    provider = {"keys": [key], "network_config": network, "proxy_config": network}

    loaded = own.load({"providers": {"azure": provider}})

    assert select(own.path, "SELECT count(*) FROM config_keys") == [(1,)]
    assert b"SECRET" not in own.path.read_bytes()
    assert "SECRET" not in str(loaded.notes)


CLIENT_SECRETS = [
    {"connection_string": "https://u:SECRET@h/?key=SECRET"},
    {"connection_string": {"value": "https://SECRET@h", "ref": "env.X", "type": "env"}},
    {"connection_string": {"value": "https://SECRET", "env_var": "", "from_env": True}},
    {"connection_string": {"value": "https://SECRET", "from_env": True}},
    {"connection_string": {"value": "https://SECRET", "type": "env"}},
    {"connection_string": {"value": "https://SECRET", "type": "vault"}},
    {"headers": {"A": {"value": "SECRET", "from_env": True}, "B": {"value": "SECRET"}}},
    {"headers": {"A": "SECRET", "B": {"value": "SECRET", "ref": "env.X"}}},
    {"stdio_config": {"command": "run", "args": ["--token=SECRET"]}},
    {"stdio_config": {"command": "run", "envs": ["TOKEN=SECRET"]}},
    {
        "tls_config": {
            "ca_cert_pem": {"value": "SECRET", "ref": "env.X"},
            "key": "SECRET",
        }
    },
    {"tls_config": {"ca_cert_pem": {"value": "SECRET", "type": "env"}}},
    {"oauth_config": {"client_secret": "SECRET"}},
]


@pytest.mark.parametrize("members", CLIENT_SECRETS)
def test_no_secret_of_an_mcp_client_is_kept(own: Own, members: Any) -> None:
    loaded = own.load({"mcp": {"client_configs": [{"name": "m", **members}]}})

    assert select(own.path, "SELECT count(*) FROM config_mcp_clients") == [(1,)]
    assert b"SECRET" not in own.path.read_bytes()
    assert "SECRET" not in str(loaded.notes)


@pytest.mark.parametrize(
    ("variable", "hashed", "value"),
    [
        ("sk-bf-right", "sk-bf-right", "sk-bf-right"),
        ("sk-bf-right", "", "sk-bf-right"),
        ("sk-bf-wrong", "sk-bf-right", None),
        ("", "sk-bf-right", None),
        ("", "", None),
    ],
)
def test_a_databases_value_that_is_read_from_elsewhere_is_read_if_it_is_the_one(
    own: Own,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    hashed: str,
    value: str | None,
) -> None:
    monkeypatch.setenv("A_VALUE", variable)
    known = value_hash(hashed) if hashed else None
    gateway = Gateway(own.folder / "config.db", "july")
    gateway.virtual_key("v", value="env.A_VALUE", value_hash=known)

    load_files([gateway.path], own.path)

    stored = "SELECT value, value_hash FROM governance_virtual_keys"
    found = known or (value and value_hash(value))
    assert select(own.path, stored) == [(value, found)]


def test_what_a_database_has_encrypted_is_not_kept(own: Own, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "config.db", "july")
    secrets = {"connection_string": "Q0lQSEVS", "headers_json": "Q0lQSEVS"}
    gateway.mcp_client(1, **secrets, encryption_status="encrypted")
    gateway.virtual_key("v", value="Q0lQSEVS", encryption_status="encrypted")

    load_files([gateway.path], own.path)

    stored = "SELECT connection_string, headers_json FROM config_mcp_clients"
    assert select(own.path, stored) == [(None, None)]


def test_a_databases_secrets_are_not_kept_either(own: Own, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "config.db", "july")
    value = json.dumps({"value": "SECRET", "ref": "env.X", "type": "env"})
    gateway.provider_key(1, value=value, azure_endpoint="SECRET")
    stdio = {"command": "run", "args": ["--token=SECRET"], "envs": ["A=SECRET"]}
    gateway.mcp_client(1, stdio_config_json=stdio, headers_json={"A": "SECRET"})

    load_files([gateway.path], own.path)

    assert b"SECRET" not in own.path.read_bytes()
    assert select(own.path, "SELECT value FROM config_keys") == [("env.X",)]
