"""`flask load config.db`: a gateway's database copied into our own answers the same."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.cli import FlaskGroup
from gateway import Gateway, fill, in_all_layouts
from odd_databases import ODD, SECRET, mcp, one_key
from reading import files_in, lists, snapshot_of

from models import MODELS, REQUIRED, ProviderKey
from transfer.loading import LoadError, load_files

CAPTURES = os.environ.get("GATEWAY_CAPTURES", "")
OPTIONAL = [model._meta.table_name for model in MODELS if model not in REQUIRED]

Build = Callable[[Gateway], None]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the tests copy to; not made yet."""
    return tmp_path / "own" / "governance.db"


# The copy


@in_all_layouts
def test_a_copy_answers_byte_for_byte_as_its_gateways_database(
    filled: Gateway, database: Path
) -> None:
    load_files([filled.path], database)

    assert lists(database) == lists(filled.path)
    assert lists(database, masked=True) == lists(filled.path, masked=True)


@in_all_layouts
@pytest.mark.parametrize("name", ODD)
def test_a_copy_of_an_odd_database_answers_byte_for_byte_the_same(
    tmp_path: Path, database: Path, layout: Any, name: str
) -> None:
    odd = Gateway(tmp_path / "config.db", layout)
    ODD[name](odd)

    load_files([odd.path], database)

    assert lists(database) == lists(odd.path)


def test_a_copy_of_a_copy_is_the_same(
    filled: Gateway, database: Path, tmp_path: Path
) -> None:
    load_files([filled.path], database)

    load_files([database], tmp_path / "again.db")

    assert lists(tmp_path / "again.db") == lists(filled.path)


def test_a_database_without_the_tables_that_came_later_is_copied(
    filled: Gateway, database: Path
) -> None:
    for table in OPTIONAL:
        filled.execute(f"DROP TABLE {table}")

    load_files([filled.path], database)

    assert lists(database) == lists(filled.path)


def test_virtual_keys_are_found_by_their_hash_in_the_copy(
    gateway: Gateway, database: Path
) -> None:
    gateway.virtual_key("plain", value_hash="aa")
    gateway.virtual_key("hidden", encryption_status="encrypted", value_hash="bb")

    load_files([gateway.path], database)

    copied = snapshot_of(database)
    assert copied.virtual_key_by_hash("aa").id == "plain"
    assert copied.virtual_key_by_hash("bb").id == "hidden"


def test_two_provider_keys_without_a_key_id_stay_two(
    gateway: Gateway, database: Path
) -> None:
    one_key(gateway)
    gateway.provider_key(1, key_id=None)
    gateway.provider_key(2, key_id=None)
    gateway.provider_config(1, "v", (2,))

    load_files([gateway.path], database)

    assert lists(database) == lists(gateway.path)


def test_a_provider_key_stays_attached_though_its_id_is_anothers_name(
    gateway: Gateway, database: Path
) -> None:
    one_key(gateway)
    gateway.provider_key(1, name="main", key_id="uuid-1")
    gateway.provider_key(2, name="spare", key_id="main")
    gateway.provider_config(1, "v", (2,))

    load_files([gateway.path], database)

    assert lists(database) == lists(gateway.path)


@pytest.mark.skipif(not CAPTURES, reason="GATEWAY_CAPTURES names no captures")
def test_a_real_gateways_database_is_copied_byte_for_byte(database: Path) -> None:
    source = Path(CAPTURES) / "config.db"

    loaded = load_files([source], database)

    assert loaded.counts["added"] > 300
    assert lists(database) == lists(source)


# Secrets

SECRET_COLUMNS = [
    "value",
    *(f"azure_{name}" for name in ("endpoint", "client_id", "client_secret")),
    *("azure_tenant_id", "vertex_project_id", "vertex_project_number"),
    *("vertex_region", "vertex_auth_credentials", "bedrock_access_key"),
    *("bedrock_secret_key", "bedrock_session_token", "bedrock_region", "bedrock_arn"),
]


def test_the_secrets_of_providers_are_not_in_the_copys_bytes(
    gateway: Gateway, database: Path
) -> None:
    one_key(gateway)
    gateway.provider_key(1, **dict.fromkeys(SECRET_COLUMNS, SECRET))
    gateway.provider_key(2, **dict.fromkeys(SECRET_COLUMNS, SECRET.encode()))
    gateway.provider_config(1, "v", (1, 2))

    load_files([gateway.path], database)

    assert SECRET.encode() not in database.read_bytes()
    assert lists(database) == lists(gateway.path)


def test_the_secrets_of_mcp_clients_are_not_in_the_copys_bytes(
    gateway: Gateway, database: Path
) -> None:
    mcp(gateway)
    gateway.mcp_client(
        1,
        connection_string=f"https://user:{SECRET}@mcp.example/?key={SECRET}",
        headers_json={"A": SECRET, "B": f"Bearer {SECRET}", "C": [SECRET]},
    )
    gateway.mcp_client(2, headers_json=f'{{broken {SECRET}"')

    load_files([gateway.path], database)

    assert SECRET.encode() not in database.read_bytes()


def test_the_variables_that_secrets_come_from_are_copied(
    gateway: Gateway, database: Path
) -> None:
    gateway.provider_key(1, **{name: f"env.{name}" for name in SECRET_COLUMNS})

    load_files([gateway.path], database)

    with closing(sqlite3.connect(database)) as connection:
        columns = ", ".join(SECRET_COLUMNS)
        copied = connection.execute(f"SELECT {columns} FROM config_keys").fetchone()
    assert copied == tuple(f"env.{name}" for name in SECRET_COLUMNS)


# The source


@pytest.fixture(params=["rollback", "log folded in", "log in use", "log left behind"])
def untouchable(
    request: pytest.FixtureRequest, tmp_path: Path, layout: Any
) -> Iterator[Path]:
    """A filled database in a folder of its own, as gateways of all kinds hold it."""
    live = Gateway(tmp_path / "live.db", layout)
    fill(live)
    folder = tmp_path / "gateway"
    folder.mkdir()
    path = folder / "config.db"
    connection = sqlite3.connect(live.path)
    if request.param != "rollback":
        connection.execute("PRAGMA journal_mode = WAL")
    if request.param == "log in use":
        connection.close()
        live.path.rename(path)
        connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO governance_teams (id) VALUES ('logged')")
    if request.param == "log left behind":  # as by a gateway that was killed
        for suffix in ("", "-wal"):
            Path(f"{path}{suffix}").write_bytes(
                Path(f"{live.path}{suffix}").read_bytes()
            )
    elif request.param != "log in use":
        connection.close()
        live.path.rename(path)
    yield path
    connection.close()


def test_the_source_is_as_it_was_and_nothing_stays_beside_it(
    untouchable: Path, database: Path
) -> None:
    before = files_in(untouchable.parent)

    load_files([untouchable], database)

    after = files_in(untouchable.parent)
    for files in (before, after):
        files.pop("config.db-shm", None)  # where readers note that they read
    assert after == before
    assert b'"id":"logged"' in lists(database)["teams"]


def test_nothing_stays_beside_the_copy(filled: Gateway, database: Path) -> None:
    load_files([filled.path], database)

    assert list(files_in(database.parent)) == ["governance.db"]


# Again, and into what is there


def test_copying_twice_changes_nothing(filled: Gateway, database: Path) -> None:
    load_files([filled.path], database)
    before = database.read_bytes()

    again = load_files([filled.path], database, replace=True)

    assert again.counts == {"added": 0, "changed": 0, "removed": 0}
    assert database.read_bytes() == before


def test_what_changed_in_the_source_changes_in_the_copy(
    filled: Gateway, database: Path
) -> None:
    load_files([filled.path], database)
    filled.execute("UPDATE governance_budgets SET current_usage = 7 WHERE id LIKE '%e'")
    filled.execute("UPDATE governance_teams SET name = 'New' WHERE id = 'lone'")

    load_files([filled.path], database)

    assert lists(database) == lists(filled.path)


def test_what_is_gone_from_the_source_stays_in_the_copy(
    filled: Gateway, database: Path
) -> None:
    load_files([filled.path], database)
    before = lists(database)
    filled.execute("DELETE FROM governance_virtual_keys WHERE id = 'key-lone'")
    filled.execute("DELETE FROM governance_teams WHERE id = 'lone'")

    counts = load_files([filled.path], database).counts

    assert counts["removed"] == 0
    assert lists(database) == before


def test_replace_removes_what_is_gone_from_the_source(
    filled: Gateway, database: Path
) -> None:
    load_files([filled.path], database)
    filled.execute("DELETE FROM governance_virtual_keys WHERE id = 'key-ops'")
    filled.execute("DELETE FROM governance_teams WHERE id = 'lone'")

    counts = load_files([filled.path], database, replace=True).counts

    assert counts["removed"] >= 2
    assert lists(database) == lists(filled.path)


def test_two_gateways_whose_numbers_are_the_same_fit_into_one_database(
    tmp_path: Path, database: Path
) -> None:
    for name in ("a", "b"):
        gateway = Gateway(tmp_path / f"{name}.db", "july")
        gateway.team(name)
        gateway.virtual_key(name, team_id=name)
        gateway.provider_key(1, name=f"key of {name}", key_id=f"uuid of {name}")
        gateway.provider_config(1, name, (1,))
        gateway.budget(f"budget of {name}", "provider_config_id", 1)
        gateway.mcp_client(1, name=f"mcp of {name}", client_id=f"client of {name}")
        gateway.mcp_config(1, name, 1)
        load_files([gateway.path], database)

    found = snapshot_of(database).index
    for name in ("a", "b"):
        (config,) = found.provider_configs_of[name]
        (mcp_config,) = found.mcp_configs_of[name]
        assert [key.name for key in found.provider_keys(config)] == [f"key of {name}"]
        budgets = found.budgets("provider_config_id", config)
        assert [budget.id for budget in budgets] == [f"budget of {name}"]
        assert found.mcp_client[mcp_config.mcp_client_id].name == f"mcp of {name}"


# What is refused


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A database, but no gateway's."""
    path = tmp_path / "music.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    return path


@pytest.mark.parametrize("replace", [False, True])
def test_a_database_that_is_no_gateways_is_refused_with_a_sentence(
    filled: Gateway, database: Path, stranger: Path, replace: bool
) -> None:
    load_files([filled.path], database)
    before = files_in(database.parent)

    with pytest.raises(LoadError) as refused:
        load_files([stranger], database, replace=replace)

    (sentence,) = refused.value.problems
    assert sentence == f"{stranger}: has no table governance_customers"
    assert files_in(database.parent) == before


def test_a_refused_database_makes_no_copy(database: Path, stranger: Path) -> None:
    with pytest.raises(LoadError):
        load_files([stranger], database)

    assert not database.exists()


def test_a_damaged_database_is_refused_with_a_sentence(
    filled: Gateway, database: Path
) -> None:
    content = filled.path.read_bytes()
    filled.path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    with pytest.raises(LoadError) as refused:
        load_files([filled.path], database)

    assert str(refused.value) == f"{filled.path}: is damaged"
    assert not database.exists()


def test_a_locked_database_is_named(
    filled: Gateway, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.sqlite.LOCK_WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")

        with pytest.raises(LoadError) as refused:
            load_files([filled.path], database)

    assert str(refused.value) == f"{filled.path}: is locked by another process"


# The command


@pytest.fixture
def run(
    make_app: Callable[..., Flask], database: Path
) -> Callable[..., tuple[int, str, str]]:
    """run("load", ...): a command on our own database; its status, both outputs."""

    def run(*words: str) -> tuple[int, str, str]:
        app = make_app(GOVERNANCE_DATABASE=str(database))
        program = FlaskGroup(create_app=lambda: app)  # as `flask` runs it
        done = app.test_cli_runner().invoke(program, list(words))
        return done.exit_code, done.stdout, done.stderr

    return run


def test_flask_load_copies_a_database_and_says_so(
    run: Callable[..., tuple[int, str, str]], filled: Gateway, database: Path
) -> None:
    status, told, noted = run("load", str(filled.path))

    assert (status, noted) == (0, "")
    assert told.startswith(f"loaded into {database}: rows ")
    assert told.endswith(" added, 0 changed, 0 removed\n")
    assert lists(database) == lists(filled.path)


def test_flask_load_notes_what_leads_nowhere(
    run: Callable[..., tuple[int, str, str]], gateway: Gateway
) -> None:
    gateway.team("t", "gone")

    status, _, noted = run("load", str(gateway.path))

    assert status == 0
    place = f"{gateway.path}: governance_teams['t'].customer_id"
    assert noted == f'note: {place}: no customer "gone"\n'


def test_flask_load_refuses_a_strangers_database(
    run: Callable[..., tuple[int, str, str]], stranger: Path, database: Path
) -> None:
    status, told, wrong = run("load", str(stranger))

    assert (status, told) == (1, "")
    assert wrong.splitlines() == [
        f"{stranger}: has no table governance_customers",
        "Error: nothing was loaded: 1 found wrong",
    ]
    assert not database.exists()


def test_every_secret_column_is_tested() -> None:
    columns = {column.name for column in ProviderKey._meta.sorted_fields}

    told = {"id", "name", "provider_id", "provider", "key_id", "models_json", "weight"}
    told |= {"enabled", "use_for_batch_api", "created_at", "updated_at"}
    told |= {"config_hash", "encryption_status"}
    assert columns - told == set(SECRET_COLUMNS)
