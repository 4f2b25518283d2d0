"""No secret gets out: not in a body, not in a header, not in the log."""

import base64
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Callable, Iterator
from io import StringIO
from logging import getLogger
from pathlib import Path
from time import time
from typing import Any

import pytest
from credentials import SECRET
from flask.testing import FlaskClient
from gateway import Gateway
from werkzeug.test import TestResponse

import models
from callers.api_keys import create_api_key
from callers.tokens import make_secret_file, make_token, write_private
from settings import SettingError, load_settings
from transfer.loading import load_files
from web.access_log import hide_tokens, set_up_logging

TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"
LISTS = [TEAMS, CUSTOMERS]

# All columns of a provider key that hold what is told as an EnvValue.
SECRET_COLUMNS = [
    "value",
    "azure_endpoint",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "vertex_project_id",
    "vertex_project_number",
    "vertex_region",
    "vertex_auth_credentials",
    "bedrock_access_key",
    "bedrock_secret_key",
    "bedrock_session_token",
    "bedrock_region",
    "bedrock_arn",
]
STORED_SECRETS = [f"stored-{column}-0123456789" for column in SECRET_COLUMNS] + [
    "mcp-user",
    "mcp-password",
    "mcp-query-key",
    "mcp-bare-query",
    "mcp-header-plain",
    "mcp-header-object",
    "mcp-header-resolved",
    "mcp-argument",
    "mcp-variable",
    "Y2lwaGVydGV4dA",
]
VIRTUAL_KEYS = ["key-ops", "key-acme", "key-nobody"]
VALUES = [f"sk-bf-{name}-0000-fake" for name in VIRTUAL_KEYS]

Leaks = Callable[[TestResponse], str]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """The text that the service writes to standard error."""
    set_up_logging()
    written = StringIO()
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", written)
    return written


@pytest.fixture
def told(log: StringIO) -> Leaks:
    """All that a request made visible, in lower case: body, headers, log lines."""

    def told(response: TestResponse) -> str:
        return f"{response.headers}{response.text}{log.getvalue()}".lower()

    return told


@pytest.fixture
def with_secrets(gateway: Gateway) -> Gateway:
    """A database whose every secret is stored in clear, and some as ciphertext."""
    gateway.customer("acme")
    gateway.team("acme-ops", "acme")
    gateway.virtual_key("key-ops", team_id="acme-ops")
    gateway.virtual_key("key-acme", customer_id="acme")
    gateway.virtual_key("key-nobody")
    columns = {column: f"stored-{column}-0123456789" for column in SECRET_COLUMNS}
    gateway.provider_key(1, "azure", **columns)
    ciphertext = dict.fromkeys(SECRET_COLUMNS, "Y2lwaGVydGV4dA==")
    gateway.provider_key(2, "vertex", **ciphertext, encryption_status="encrypted")
    gateway.provider_config(1, "key-ops", (1, 2))
    gateway.mcp_client(
        1,
        connection_string="https://mcp-user:mcp-password@mcp.example/sse"
        "?key=mcp-query-key&mcp-bare-query",
        headers_json={
            "X-Plain": "mcp-header-plain",
            "X-Object": {"value": "mcp-header-object", "env_var": "", "from_env": 0},
            "X-Ref": {"value": "mcp-header-resolved", "ref": "env.X", "type": "env"},
        },
        stdio_config_json={
            "command": "npx",
            "args": ["--api-key", "mcp-argument", "--token=mcp-argument"],
            "envs": ["API_KEY=mcp-variable"],
        },
    )
    gateway.mcp_client(
        2,
        connection_string="Y2lwaGVydGV4dA==",
        headers_json='"Y2lwaGVydGV4dA=="',
        encryption_status="encrypted",
    )
    gateway.mcp_config(1, "key-ops", 1)
    gateway.mcp_config(2, "key-acme", 2)
    return gateway


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def found(secrets: list[str], text: str) -> list[str]:
    return [secret for secret in secrets if secret.lower() in text]


def unpadded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


# What is stored


def test_the_columns_of_this_test_are_all_that_hold_secrets() -> None:
    plain = {"id", "name", "provider_id", "provider", "key_id", "models_json", "weight"}
    plain |= {"enabled", "use_for_batch_api", "config_hash", "encryption_status"}
    plain |= {"created_at", "updated_at"}

    every = set(models.column_names(models.ProviderKey))

    assert every - plain == set(SECRET_COLUMNS)


@pytest.mark.parametrize(
    "kind", ["management API key", "admin JWT", "virtual key", "virtual-key JWT"]
)
@pytest.mark.parametrize("path", LISTS)
def test_nothing_stored_as_a_secret_is_shown_to_anyone(
    with_secrets: Gateway,
    client: FlaskClient,
    api_key: str,
    told: Leaks,
    path: str,
    kind: str,
) -> None:
    token = {
        "management API key": api_key,
        "admin JWT": make_token(SECRET.encode(), "admin", "me", 60),
        "virtual key": VALUES[0],
        "virtual-key JWT": make_token(SECRET.encode(), "virtual_key", "key-ops", 60),
    }[kind]

    response = client.get(path, headers=bearer(token))

    own = [SECRET, api_key, token]
    assert found(STORED_SECRETS + own, told(response).replace(VALUES[0], "")) == []
    may_call = path == TEAMS or kind == "management API key"
    assert response.status_code == (200 if may_call else 401)


@pytest.mark.parametrize("kind", ["virtual key", "virtual-key JWT"])
@pytest.mark.parametrize("path", LISTS)
def test_no_value_of_a_virtual_key_is_shown_to_virtual_key_callers(
    with_secrets: Gateway,
    client: FlaskClient,
    told: Leaks,
    path: str,
    kind: str,
) -> None:
    by_jwt = make_token(SECRET.encode(), "virtual_key", "key-ops", 60)
    token = VALUES[0] if kind == "virtual key" else by_jwt

    response = client.get(path, headers=bearer(token))

    hashes = [hashlib.sha256(value.encode()).hexdigest() for value in VALUES]
    assert found(VALUES + hashes, told(response)) == []


@pytest.mark.parametrize("path", LISTS)
def test_the_log_has_no_value_that_the_answer_has(
    with_secrets: Gateway,
    client: FlaskClient,
    api_key: str,
    log: StringIO,
    path: str,
) -> None:
    response = client.get(path, headers=bearer(api_key))

    assert VALUES[0] in response.text
    assert found(VALUES, log.getvalue().lower()) == []


@pytest.mark.parametrize(
    ("column", "stored"),
    [
        ("headers_json", '{"X-Key": "broken-secret'),
        ("headers_json", '["broken-secret"]'),
        ("headers_json", "broken-secret"),
        ("headers_json", '{"X-Key": ["broken-secret"]}'),
        ("headers_json", '{"X-Key": {"env_var": "broken-secret"}}'),
        ("headers_json", '{"X-Key": {"value": {"value": "broken-secret"}}}'),
        ("headers_json", b"broken-secret\xff"),
        ("headers_json", '{"X-Key": {"value": "broken-secret", "ref": "env.K"}}'),
        (
            "headers_json",
            '{"X-Key": {"value": "broken-secret", "ref": "broken-secret"}}',
        ),
        ("stdio_config_json", '{"args": "--token=broken-secret"}'),
        ("stdio_config_json", '{"args": [{"token": "broken-secret"}]}'),
        ("stdio_config_json", '{"envs": {"TOKEN": "broken-secret"}}'),
        ("stdio_config_json", '{"envs": ["TOKEN=broken-secret", null]}'),
        ("stdio_config_json", '{"command": ["broken-secret"]}'),
        (
            "tls_config_json",
            '{"ca_cert_pem": {"value": "broken-secret", "ref": "env.K"}}',
        ),
        ("connection_string", '{"value": "broken-secret", "ref": "env.URL"}'),
        ("connection_string", b"https://broken-secret@host/\xff"),
        ("connection_string", "https://broken-secret@host:port:/"),
        ("connection_string", "//broken-secret@host/"),
        ("connection_string", "broken-secret@host/mcp"),
        ("connection_string", "https://user:broken-secret@x@host/mcp"),
        ("connection_string", "https://host/mcp?a=1&key=broken-secret"),
        ("connection_string", "https://host/mcp?broken-secret"),
        ("connection_string", "https://host/mcp?key=x=broken-secret#y"),
        ("connection_string", "https://host/mcp?key=x?broken-secret=1"),
    ],
)
def test_a_broken_secret_is_not_shown_either(
    gateway: Gateway,
    client: FlaskClient,
    api_key: str,
    told: Leaks,
    column: str,
    stored: Any,
) -> None:
    gateway.team("lone")
    gateway.virtual_key("any", team_id="lone")
    gateway.mcp_client(1, **{column: stored})
    gateway.mcp_config(1, "any", 1)

    response = client.get(TEAMS, headers=bearer(api_key))

    assert response.get_json()["teams"][0]["virtual_keys"][0]["mcp_configs"]
    assert found(["broken-secret"], told(response)) == []


@pytest.mark.parametrize("stored", [b"broken-secret\xff", b"env.broken\xff-secret", 7])
def test_a_provider_secret_that_is_no_text_is_not_shown(
    gateway: Gateway, client: FlaskClient, api_key: str, told: Leaks, stored: Any
) -> None:
    gateway.team("lone")
    gateway.virtual_key("any", team_id="lone")
    gateway.provider_key(1, value=stored)
    gateway.provider_config(1, "any", (1,))

    response = client.get(TEAMS, headers=bearer(api_key))

    config = response.get_json()["teams"][0]["virtual_keys"][0]["provider_configs"][0]
    assert config["keys"][0]["value"] == {"value": "", "env_var": "", "from_env": False}
    assert "broken-secret" not in told(response)


# Tokens where they do not belong


@pytest.mark.parametrize("indent", [None, 2])
def test_the_jwts_of_these_tests_are_good_ones(
    gateway: Gateway, client: FlaskClient, indent: int | None
) -> None:
    response = client.get(TEAMS, headers=bearer(jwt_by_hand(indent=indent)))

    assert response.status_code == 200


RANDOM = "Zz9" + "Qw7" * 13 + "Xy"  # 44 letters and digits


def jwt_by_hand(secret: str = SECRET, indent: int | None = None) -> str:
    """An admin JWT; its JSON may be indented, that is as good as any other."""
    header = json.dumps({"alg": "HS256", "typ": "JWT"}, indent=indent)
    claims = json.dumps({"role": "admin", "exp": int(time()) + 3600}, indent=indent)
    text = ".".join(unpadded(part.encode()) for part in (header, claims))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{unpadded(digest)}"


TOKENS: dict[str, str] = {
    "management API key": f"bfst-{RANDOM}",
    "malformed management API key": f"bfst-{RANDOM}-{RANDOM}",
    "virtual key": VALUES[0],
    "unknown virtual key": "sk-bf-6f1d2c3b-0a1b-4c2d-8e3f-5a6b7c8d9e0f",
    "JWT": jwt_by_hand(),
    "JWT of indented JSON": jwt_by_hand(indent=2),
    "forged JWT": jwt_by_hand("another-secret-of-32-bytes-or-more"),
}

PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "path": ("/api/governance/{}", {}),
    "path in the middle": ("/api/{}/teams", {}),
    "path after another letter": ("/api/x{}", {}),
    "known path with more": (TEAMS + "/{}", {}),
    "query": (TEAMS + "?token={}", {}),
    "query without a name": (TEAMS + "?{}", {}),
    "query as a name": (TEAMS + "?{}=1", {}),
    "number": (TEAMS + "?limit={}", {}),
    "truth": (CUSTOMERS + "?from_memory={}", {}),
    "customer_id": (TEAMS + "?customer_id={}", {}),
    "search": (TEAMS + "?search={}", {}),
    "X-Request-Id": (TEAMS, {"X-Request-Id": "{}"}),
    "X-Request-Id with more": (TEAMS, {"X-Request-Id": "id-{}"}),
    "method": (TEAMS, {"method": "{}"}),
    "raw header": (TEAMS, {"Authorization": "{}"}),
    "other scheme": (TEAMS, {"Authorization": "Basic {}"}),
    "two tokens": (TEAMS, {"Authorization": "Bearer {0} {0}"}),
    "token with more": (TEAMS, {"Authorization": "Bearer {}x"}),
    "token with less": (CUSTOMERS, {"Authorization": "Bearer x{}"}),
    "x-api-key": (TEAMS, {"x-api-key": "{}"}),
    "cookie": (CUSTOMERS, {"Cookie": "token={}"}),
    "referer": (TEAMS, {"Referer": "https://host/?token={}"}),
    "If-None-Match": (TEAMS, {"If-None-Match": '"{}"'}),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_token_in_the_wrong_place_is_not_repeated(
    gateway: Gateway,
    client: FlaskClient,
    api_key: str,
    told: Leaks,
    place: tuple[str, dict[str, Any]],
) -> None:
    path, more = place
    for kind, token in TOKENS.items():
        headers = {name: text.format(token) for name, text in more.items()}
        method = headers.pop("method", "GET")
        headers = {**bearer(api_key), **headers}

        response = client.open(path.format(token), method=method, headers=headers)

        # Neither whole nor the part that is secret.
        parts = [token, token.removeprefix("bfst-"), token.split(".")[-1]]
        assert found(parts, told(response)) == [], kind


@pytest.mark.parametrize("path", LISTS)
def test_a_refused_token_is_not_repeated(
    gateway: Gateway, client: FlaskClient, told: Leaks, path: str
) -> None:
    for kind, token in TOKENS.items():
        response = client.get(path, headers=bearer(f"{token}x"))

        assert response.status_code == 401, kind
        assert found([token, token.split(".")[-1]], told(response)) == [], kind


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Basic", "Digest", "Token"])
def test_a_token_of_no_known_kind_is_not_repeated(
    gateway: Gateway, client: FlaskClient, told: Leaks, scheme: str
) -> None:
    for token in (
        "hunter2-opaque",
        "sk-proj-0123456789",
        "ghp_012345",
        "a.b",
        "x" * 99,
    ):
        headers = {"Authorization": f"{scheme} {token}", "X-Request-Id": token}

        response = client.get(TEAMS, headers=headers)

        assert response.status_code == 401
        assert found([token], told(response)) == []


def test_a_token_in_a_traceback_is_not_logged(
    gateway: Gateway,
    client: FlaskClient,
    api_key: str,
    told: Leaks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError(f"failed for {api_key} and {VALUES[0]}")

    monkeypatch.setattr("snapshot.snapshot.Snapshot.teams", fail)

    response = client.get(TEAMS, headers=bearer(api_key))

    assert response.status_code == 500
    assert found([api_key, VALUES[0]], told(response)) == []


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("bfst-abc", "bfst-***"),
        ("a bfst-abc b", "a bfst-*** b"),
        ("/x/sk-bf-a-b-c/y", "/x/sk-bf-***/y"),
        ("SK-BF-ABC", "SK-BF-***"),
        ("'eyJhbGci.e30.c2ln'", "'eyJ***'"),
        ("bfst-a bfst-b", "bfst-*** bfst-***"),
        ("GET /api/governance/teams 200", "GET /api/governance/teams 200"),
    ],
)
def test_a_token_in_a_line_is_cut_after_its_prefix(line: str, hidden: str) -> None:
    assert hide_tokens(line) == hidden


# What is kept in files


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """The umask of most machines, by which others may read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("usual_umask")
def test_the_file_of_api_keys_is_for_its_owner_only(tmp_path: Path) -> None:
    create_api_key(tmp_path / "new" / "access.db", "ci")

    assert mode(tmp_path / "new" / "access.db") == 0o600


@pytest.mark.usefixtures("usual_umask")
def test_the_secret_file_is_for_its_owner_only(tmp_path: Path) -> None:
    make_secret_file(tmp_path / "new" / "jwt-secret")

    assert mode(tmp_path / "new" / "jwt-secret") == 0o600


@pytest.mark.usefixtures("usual_umask")
def test_a_private_file_is_private_where_an_open_one_was(tmp_path: Path) -> None:
    path = tmp_path / "demo-api-key"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, b"new")

    assert (mode(path), path.read_text()) == (0o600, "new\n")


@pytest.mark.usefixtures("usual_umask")
def test_our_own_database_is_for_its_owner_only(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"governance": {"customers": [{"id": "a", "name": "A"}]}}')

    load_files([config], tmp_path / "new" / "governance.db")

    assert mode(tmp_path / "new" / "governance.db") == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["governance.db"]


def test_no_text_of_a_key_is_in_the_file_of_api_keys(tmp_path: Path) -> None:
    path = tmp_path / "access.db"

    tokens = [create_api_key(path, name) for name in ("one", "two")]

    stored = path.read_bytes()
    assert [token for token in tokens if token[12:].encode() in stored] == []
    assert all(
        hashlib.sha256(t.encode()).hexdigest().encode() in stored for t in tokens
    )


# What is configured


def test_the_settings_do_not_show_the_secret() -> None:
    settings = load_settings({"GOVERNANCE_JWT_SECRET": SECRET})

    assert SECRET not in f"{settings!r} {settings}"


@pytest.mark.parametrize("secret", ["hunter2", "x" * 31, "ü" * 15])
def test_a_refused_secret_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingError) as refused:
        load_settings({"GOVERNANCE_JWT_SECRET": secret})

    assert secret not in refused.value.message
    assert "GOVERNANCE_JWT_SECRET" in refused.value.message
