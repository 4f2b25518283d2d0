"""Databases that a gateway encrypted, with its key and without."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encrypted import PASSPHRASE, VALUE, add_key, key_of, opened, sealed
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway
from reading import rows_of
from service import ROOT, Service, environment, settings_in

from fields import report_broken
from models import McpClient, VirtualKey
from store import cipher
from store.encryption import Encryption
from store.own import writing
from transfer.checking import check_rows
from transfer.exporting import export_config
from transfer.loading import load_files

ADDRESS = "https://user:secret@mcp.example/sse?key=secret"
HEADERS = {"Authorization": "Bearer secret", "X-Env": "env.HEADER"}

Ask = Callable[..., Any]


@pytest.fixture
def encrypted(gateway: Gateway) -> Gateway:
    """A team with two encrypted keys and an encrypted MCP client."""
    gateway.team("t")
    for number, key in enumerate(("one", "two")):
        value = f"{VALUE}{number}"
        add_key(gateway, key, value, sealed(value))
    gateway.mcp_client(
        1,
        connection_string=sealed(ADDRESS),
        headers_json=sealed(json.dumps(HEADERS)),
        encryption_status="encrypted",
    )
    gateway.mcp_config(1, "one", 1)
    return gateway


@pytest.fixture
def with_key(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app(GOVERNANCE_ENCRYPTION_KEY=PASSPHRASE).test_client()


@pytest.fixture
def ask(api_key: str) -> Ask:
    """The virtual keys that a client's list of teams has, by id."""

    def ask(client: FlaskClient, token: str = api_key) -> dict[str, Any]:
        answer = client.get(
            "/api/governance/teams", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200, answer.text
        keys = answer.get_json()["teams"][0]["virtual_keys"]
        return {key["id"]: key for key in keys}

    return ask


def client_of(keys: dict[str, Any]) -> Any:
    return keys["one"]["mcp_configs"][0]["mcp_client"]


# What is answered


def test_values_are_answered_as_they_were_before_they_were_encrypted(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    keys = ask(with_key)

    assert keys["one"]["value"] == f"{VALUE}0"
    assert keys["two"]["value"] == f"{VALUE}1"


def test_an_mcp_client_is_answered_as_if_it_were_in_plain(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    client = client_of(ask(with_key))

    assert client["connection_string"] == "https://***@mcp.example/sse?key=***"
    assert client["headers"] == {
        "Authorization": {"value": "", "env_var": "", "from_env": False},
        "X-Env": {"value": "", "env_var": "env.HEADER", "from_env": True},
    }


def test_without_the_key_nothing_encrypted_is_answered(
    encrypted: Gateway, client: FlaskClient, ask: Ask
) -> None:
    keys = ask(client)

    assert keys["one"]["value"] == ""
    assert "connection_string" not in client_of(keys)
    assert client_of(keys)["headers"] == {}


@pytest.mark.parametrize("reference", ["env.MCP_URL", "vault.kv/mcp#url"])
def test_an_address_that_is_a_reference_stays_one(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask, reference: str
) -> None:
    encrypted.execute("UPDATE config_mcp_clients SET connection_string = ?", reference)

    client = client_of(ask(with_key))

    assert client["connection_string"] == reference
    assert "X-Env" in client["headers"]


@pytest.mark.parametrize("empty", ["", "{}", None])
def test_an_mcp_client_without_headers_has_an_address_still(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask, empty: str | None
) -> None:
    encrypted.execute("UPDATE config_mcp_clients SET headers_json = ?", empty)

    client = client_of(ask(with_key))

    assert client["connection_string"] == "https://***@mcp.example/sse?key=***"
    assert client["headers"] == {}


def test_rows_in_plain_beside_encrypted_ones_stay_as_they_are(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    plain = encrypted.virtual_key("plain", team_id="t")

    assert ask(with_key)["plain"]["value"] == plain


def test_secrets_of_providers_stay_closed(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    encrypted.provider_key(1, value=sealed("env.A"), encryption_status="encrypted")
    encrypted.provider_config(1, "one", (1,))

    key = ask(with_key)["one"]["provider_configs"][0]["keys"][0]

    assert key["value"] == {"value": "", "env_var": "", "from_env": False}


def test_a_virtual_key_is_found_by_its_hash_and_sees_masked_values(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    keys = ask(with_key, token=f"{VALUE}0")

    assert keys["two"]["value"] == f"sk-b{'*' * 24}5551"


def test_a_virtual_key_without_a_hash_is_found_by_its_opened_value(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    encrypted.execute("UPDATE governance_virtual_keys SET value_hash = NULL")

    assert "one" in ask(with_key, token=f"{VALUE}0")


# The key


@pytest.mark.parametrize("passphrase", [f"  {PASSPHRASE}\n", PASSPHRASE])
def test_the_key_may_be_in_a_file(
    encrypted: Gateway, make_app: Any, ask: Ask, tmp_path: Path, passphrase: str
) -> None:
    (tmp_path / "key").write_text(passphrase)

    app = make_app(GOVERNANCE_ENCRYPTION_KEY_FILE=str(tmp_path / "key"))

    assert ask(app.test_client())["one"]["value"] == f"{VALUE}0"


def test_the_key_itself_goes_before_its_file(
    encrypted: Gateway, make_app: Any, ask: Ask, tmp_path: Path
) -> None:
    app = make_app(
        GOVERNANCE_ENCRYPTION_KEY=f" {PASSPHRASE} ",
        GOVERNANCE_ENCRYPTION_KEY_FILE=str(tmp_path / "none"),
    )

    assert ask(app.test_client())["one"]["value"] == f"{VALUE}0"


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "no such file or directory"), ("\n", "is empty")]
)
def test_a_file_without_a_key_stops_the_start(
    encrypted: Gateway, tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    file = {"GOVERNANCE_ENCRYPTION_KEY_FILE": str(tmp_path / "key")}

    done = flask(settings_in(tmp_path) | file, "serve", "--port", "0")

    place = f"GOVERNANCE_ENCRYPTION_KEY_FILE {tmp_path / 'key'}"
    assert done.stderr.endswith(f"{place}: {sentence}\n")


def test_a_key_that_opens_nothing_stops_the_start(
    encrypted: Gateway, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path) | {"GOVERNANCE_ENCRYPTION_KEY": "another one"}

    done = flask(settings, "serve", "--port", "0")

    what = "3 encrypted rows, and GOVERNANCE_ENCRYPTION_KEY opens none of them"
    assert done.stdout == ""
    assert what in done.stderr
    assert "another one" not in done.stderr


def test_a_key_that_opens_nothing_stops_other_commands(
    encrypted: Gateway, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path) | {"GOVERNANCE_ENCRYPTION_KEY": "another one"}

    for arguments in (["check"], ["export"]):
        done = flask(settings, *arguments)
        assert done.returncode in (1, 2)
        assert "GOVERNANCE_ENCRYPTION_KEY opens none of them" in done.stderr


def test_an_export_says_that_secrets_go_out_in_plain(
    encrypted: Gateway, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path) | {"GOVERNANCE_ENCRYPTION_KEY": PASSPHRASE}

    done = flask(settings, "export", "--with-secrets")

    assert f"{VALUE}0" in done.stdout
    assert "note: what is encrypted here goes out in plain\n" in done.stderr


def flask(
    settings: dict[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_row_that_does_not_open_is_as_without_a_key_and_logged_once(
    encrypted: Gateway,
    with_key: FlaskClient,
    ask: Ask,
    caplog: pytest.LogCaptureFixture,
) -> None:
    report_broken.cache_clear()
    add_key(encrypted, "other", VALUE, sealed(VALUE, "another passphrase"))

    first = ask(with_key)
    encrypted.virtual_key("new", team_id="t")
    second = ask(with_key)

    assert first["other"]["value"] == second["other"]["value"] == ""
    assert first["one"]["value"] == f"{VALUE}0"
    lines = [each.message for each in caplog.records if "does not open" in each.message]
    assert lines == [
        "governance_virtual_keys, row 'other':"
        " value does not open with GOVERNANCE_ENCRYPTION_KEY"
    ]


ODD = ["", "not base64!", "QUJD", base64.b64encode(b"x" * 40).decode(), "é", b"\xff"]


@pytest.mark.parametrize("stored", ODD)
def test_whatever_is_stored_encrypted_breaks_no_answer(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask, stored: Any
) -> None:
    encrypted.execute(
        "UPDATE governance_virtual_keys SET value = ? WHERE id = 'two'", stored
    )

    keys = ask(with_key)

    assert keys["two"]["value"] == ""
    assert keys["one"]["value"] == f"{VALUE}0"


def test_what_is_encrypted_but_no_text_does_not_open(
    encrypted: Gateway, with_key: FlaskClient, ask: Ask
) -> None:
    nonce = os.urandom(12)
    data = nonce + key_of(PASSPHRASE).encrypt(nonce, b"\xff", None)
    add_key(encrypted, "odd", VALUE, base64.b64encode(data).decode())

    assert ask(with_key)["odd"]["value"] == ""


# What it costs


def test_a_value_is_opened_once_while_its_row_stays(
    encrypted: Gateway,
    with_key: FlaskClient,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask(with_key)
    calls: list[str] = []

    def open_value(passphrase: str, text: str) -> str | None:
        calls.append(text)
        return cipher.open_value(passphrase, text)

    monkeypatch.setattr("store.encryption.open_value", open_value)
    new = sealed(f"{VALUE}9")
    add_key(encrypted, "new", f"{VALUE}9", new)

    assert ask(with_key)["new"]["value"] == f"{VALUE}9"
    assert calls == [new]


def test_cryptography_is_loaded_only_with_a_key(
    encrypted: Gateway, tmp_path: Path
) -> None:
    script = (
        "import sys; from app import create_app;"
        "create_app().extensions['keeper'].current();"
        "print('cryptography' in sys.modules)"
    )
    shown = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment(settings_in(tmp_path) | extra),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for extra in ({}, {"GOVERNANCE_ENCRYPTION_KEY": PASSPHRASE})
    ]

    assert shown == ["False\n", "True\n"]


# Our own database


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.db"


def stored(path: Path) -> tuple[list[Any], list[Any]]:
    """Our virtual keys and MCP clients as they are in the file."""
    rows = rows_of(path, Unopened())
    return rows[VirtualKey], rows[McpClient]


class Unopened(Encryption):
    def opened(self, model: Any, rows: Any) -> Any:
        return rows


def test_a_load_without_the_key_says_what_is_left_out(
    encrypted: Gateway, own: Path
) -> None:
    loaded = load_files([encrypted.path], own)

    (note,) = loaded.notes
    assert "3 rows are encrypted" in note
    assert "GOVERNANCE_ENCRYPTION_KEY" in note
    assert [key.value for key in stored(own)[0]] == [None, None]
    assert all(key.value_hash for key in stored(own)[0])


def test_a_load_with_the_key_stores_encrypted_as_a_gateway_would(
    encrypted: Gateway, own: Path
) -> None:
    loaded = load_files([encrypted.path], own, encryption=Encryption(PASSPHRASE))

    keys, (client,) = stored(own)
    assert loaded.notes == []
    assert [opened(key.value) for key in keys] == [f"{VALUE}0", f"{VALUE}1"]
    assert opened(client.connection_string) == "https://***@mcp.example/sse?key=***"
    assert json.loads(opened(client.headers_json))["X-Env"] == "env.HEADER"
    assert {row.encryption_status for row in (*keys, client)} == {"encrypted"}


def test_what_is_in_plain_is_left_in_plain_without_a_key(
    gateway: Gateway, own: Path
) -> None:
    value = gateway.virtual_key("plain")

    load_files([gateway.path], own)

    ((key,), _) = stored(own)
    assert (key.value, key.encryption_status) == (value, "plain_text")


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_loading_again_changes_nothing(
    encrypted: Gateway, own: Path, passphrase: str
) -> None:
    load_files([encrypted.path], own, encryption=Encryption(passphrase))
    before = stored(own)

    loaded = load_files([encrypted.path], own, encryption=Encryption(passphrase))

    assert loaded.counts == {"added": 0, "changed": 0, "removed": 0}
    assert stored(own) == before


def test_the_first_load_with_a_key_encrypts_what_was_in_plain(
    gateway: Gateway, own: Path
) -> None:
    value = gateway.virtual_key("plain")
    load_files([gateway.path], own)

    load_files([gateway.path], own, encryption=Encryption(PASSPHRASE))

    ((key,), _) = stored(own)
    assert opened(key.value) == value
    assert key.encryption_status == "encrypted"


def test_what_is_encrypted_stays_so_when_something_else_is_loaded_without_the_key(
    encrypted: Gateway, own: Path, tmp_path: Path
) -> None:
    load_files([encrypted.path], own, encryption=Encryption(PASSPHRASE))
    before = stored(own)
    (tmp_path / "more.json").write_text('{"teams": [{"id": "u", "name": "U"}]}')

    load_files([tmp_path / "more.json"], own)

    assert stored(own) == before


def test_our_encrypted_database_answers_as_the_gateways(
    encrypted: Gateway, own: Path, make_app: Any, ask: Ask
) -> None:
    load_files([encrypted.path], own, encryption=Encryption(PASSPHRASE))

    theirs, ours = (
        ask(make_app(**settings, GOVERNANCE_ENCRYPTION_KEY=PASSPHRASE).test_client())
        for settings in ({}, {"GOVERNANCE_DATABASE": str(own)})
    )

    assert [*ours.values()] == [*theirs.values()]


def test_our_rows_are_seen_in_plain_while_they_are_changed(
    encrypted: Gateway, own: Path
) -> None:
    load_files([encrypted.path], own, encryption=Encryption(PASSPHRASE))

    with writing(own, Encryption(PASSPHRASE)) as tables:
        rows = tables.read()[VirtualKey]

    assert {row["value"] for row in rows.values()} == {f"{VALUE}0", f"{VALUE}1"}


def test_an_export_with_secrets_has_what_was_encrypted(encrypted: Gateway) -> None:
    rows = rows_of(encrypted.path, Encryption(PASSPHRASE))

    config = export_config(rows, with_secrets=True)

    values = [key["value"] for key in config["governance"]["virtual_keys"]]
    assert values == [f"{VALUE}0", f"{VALUE}1"]


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_nothing_is_odd_about_encrypted_rows(
    encrypted: Gateway, passphrase: str
) -> None:
    rows = rows_of(encrypted.path, Encryption(passphrase))

    findings = [str(finding) for finding in check_rows(rows)]

    assert [line for line in findings if "value" in line or "headers" in line] == []


# A gateway's own


def july() -> Path:
    if "GATEWAY_JULY" not in os.environ:
        pytest.skip("GATEWAY_JULY names no folder")
    return Path(os.environ["GATEWAY_JULY"])


def test_every_value_that_a_gateway_encrypted_opens_and_has_its_hash() -> None:
    passphrase = (july() / "encrypted.key").read_text()

    rows = rows_of(july() / "encrypted.db", Encryption(passphrase))

    keys = rows[VirtualKey]
    hashes = [hashlib.sha256(key.value.encode()).hexdigest() for key in keys]
    assert len(keys) == 17
    assert hashes == [key.value_hash for key in keys]
    assert {row.encryption_status for row in keys} == {"plain_text"}


def test_a_gateways_encrypted_mcp_clients_are_those_of_its_database_in_plain() -> None:
    passphrase = (july() / "encrypted.key").read_text()

    opened, plain = (
        rows_of(july() / name, Encryption(passphrase))[McpClient]
        for name in ("encrypted.db", "config.db")
    )

    columns = ("client_id", "connection_string", "headers_json")
    shown = [
        {tuple(getattr(row, name) for name in columns) for row in rows}
        for rows in (opened, plain)
    ]
    assert shown[0] == shown[1]


def test_a_gateways_encrypted_database_is_served_with_its_key(
    tmp_path: Path, api_key: str
) -> None:
    settings = settings_in(tmp_path) | {
        "GOVERNANCE_DATABASE": str(july() / "encrypted.db"),
        "GOVERNANCE_ENCRYPTION_KEY_FILE": str(july() / "encrypted.key"),
    }

    service = Service(settings)
    _, body = service.request("/api/governance/customers", api_key)
    _, log = service.end()

    passphrase = (july() / "encrypted.key").read_text().strip()
    assert b'"value":"sk-bf-' in body
    assert passphrase not in log
    assert passphrase.encode() not in body
