"""Callers: which route takes which credential, and which teams a virtual key sees."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from credentials import SECRET
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway
from werkzeug.test import TestResponse

from callers import authenticator as auth
from callers import tokens
from callers.api_keys import create_api_key, revoke_api_key
from callers.tokens import make_token

ROUTES = ("teams", "customers")
TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"
NO_CREDENTIAL = (
    401,
    "missing_credentials",
    "No credential was sent; send the header Authorization: Bearer <token>.",
)
FORGED = "The JWT is not valid: its signature is not by a key of this service."
EXPIRED = "The JWT is not valid: it has expired."
ENDLESS = "The JWT is not valid: it has no exp claim."
ODD = "The JWT is not valid: it is malformed, or not valid here or now."
ROLE = "The JWT is not valid: its role claim is neither admin nor virtual_key."
SUBJECT = "The JWT is not valid: it has no sub claim, which names the virtual key."
NOT_HERE = (
    "is not accepted here: this route takes only a management API key, since it is"
    " part of the management API."
)
MASK = "*" * 24

Get = Callable[..., TestResponse]


@pytest.fixture
def no_background_check(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only requests take snapshots; the background's first look could come late."""
    monkeypatch.setattr(app.extensions["keeper"], "start", lambda: None)


@pytest.fixture(scope="module")
def private_keys() -> dict[str, Any]:
    """A private key for each algorithm that a public key may have."""
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refusal(response: TestResponse) -> tuple[int, str, str]:
    error = response.get_json()["error"]
    return response.status_code, error["code"], error["message"]


def invalid(message: str) -> tuple[int, str, str]:
    return 401, "invalid_credentials", message


def ids(response: TestResponse) -> list[str]:
    return [team["id"] for team in response.get_json()["teams"]]


def virtual_keys(value: Any) -> Iterator[dict[str, Any]]:
    """All virtual keys in an answer, however deep."""
    if isinstance(value, dict):
        if "provider_configs" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from virtual_keys(member)


def shown_values(response: TestResponse) -> dict[str, set[str]]:
    shown: dict[str, set[str]] = {}
    for key in virtual_keys(response.get_json()):
        shown.setdefault(key["id"], set()).add(key["value"])
    return shown


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def signed(secret: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A JWT of an admin, unless claims say otherwise; None leaves a claim out."""
    all_claims = {"role": "admin", "sub": "admin", "exp": int(time()) + 3600, **claims}
    kept = {name: claim for name, claim in all_claims.items() if claim is not None}
    return jwt.encode(kept, secret, algorithm=algorithm)


def signed_by_hand(secret: bytes, header: str = '{"alg":"HS256","typ":"JWT"}') -> str:
    """An admin JWT with an HS256 signature that a library would refuse to make."""
    claims = json.dumps({"role": "admin", "exp": int(time()) + 3600})
    text = ".".join(unpadded(part.encode()) for part in (header, claims))
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{unpadded(digest)}"


def unpadded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def public_pem(private_key: Any) -> bytes:
    return private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# No credential


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "header",
    [
        None,
        ("Authorization", ""),
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer "),
        ("Authorization", "Bearer    "),
        ("Authorization", "{key}"),
        ("Authorization", "Token {key}"),
        ("Authorization", "Bearer:{key}"),
        ("Authorization", "Bearer{key}"),
        ("x-api-key", "{key}"),
        ("x-bf-vk", "sk-bf-nobody-0000-fake"),
        ("Cookie", "token={key}"),
        ("Proxy-Authorization", "Bearer {key}"),
    ],
    ids=str,
)
def test_anything_but_a_bearer_token_is_no_credential(
    gateway: Gateway, client: FlaskClient, api_key: str, header: Any, route: str
) -> None:
    headers = {header[0]: header[1].format(key=api_key)} if header else {}

    response = client.get(f"/api/governance/{route}", headers=headers)

    assert refusal(response) == NO_CREDENTIAL


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("scheme", ["Basic", "basic", "DIGEST", "Negotiate"])
def test_another_scheme_is_named_as_not_accepted(
    gateway: Gateway, client: FlaskClient, api_key: str, scheme: str, route: str
) -> None:
    headers = {"Authorization": f"{scheme} {api_key}"}

    response = client.get(f"/api/governance/{route}", headers=headers)

    assert refusal(response) == (
        401,
        "missing_credentials",
        f"Authorization: {scheme.capitalize()} is not accepted here;"
        " send the header Authorization: Bearer <token>.",
    )


@pytest.mark.parametrize("route", ROUTES)
def test_a_credential_in_the_query_is_no_credential(
    gateway: Gateway, client: FlaskClient, api_key: str, route: str
) -> None:
    query = {"token": api_key, "access_token": api_key, "api_key": api_key}

    response = client.get(f"/api/governance/{route}", query_string=query)

    assert refusal(response) == NO_CREDENTIAL


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
def test_the_case_of_the_scheme_does_not_matter(
    gateway: Gateway, client: FlaskClient, api_key: str, scheme: str, route: str
) -> None:
    headers = {"Authorization": f"{scheme} {api_key}"}

    response = client.get(f"/api/governance/{route}", headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "token", ["opaque", "sk-proj-other", "SK-BF-x", "a.b", "a.b.c.d", "bfst_x", "é"]
)
def test_a_token_of_no_known_kind_is_refused(
    gateway: Gateway, get: Get, token: str, route: str
) -> None:
    expected = "The token is neither a management API key, a virtual key nor a JWT."

    response = get(route, token=token)

    assert refusal(response) == invalid(expected)


def test_wrong_parameters_are_reported_only_to_who_may_call(
    gateway: Gateway, get: Get
) -> None:
    response = get("teams", token=None, limit="many")

    assert refusal(response) == NO_CREDENTIAL


# Management API keys


@pytest.mark.parametrize("route", ROUTES)
def test_a_management_api_key_is_taken(filled: Gateway, get: Get, route: str) -> None:
    response = get(route)

    assert response.status_code == 200
    assert response.get_json()["count"] == len(response.get_json()[route]) > 0


@pytest.mark.parametrize("route", ROUTES)
def test_an_unknown_management_api_key_is_refused(
    gateway: Gateway, get: Get, route: str
) -> None:
    response = get(route, token="bfst-" + "A" * 44)

    assert refusal(response) == invalid("The management API key is not known.")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "random",
    ["", "A", "A" * 43, "A" * 45, "A" * 4400, "A" * 43 + "-", "A" * 43 + "é"],
    ids=lambda random: f"{len(random)}{random[-1:]}",
)
def test_a_malformed_management_api_key_is_refused(
    gateway: Gateway, get: Get, random: str, route: str
) -> None:
    response = get(route, token=f"bfst-{random}")

    assert refusal(response) == invalid("The management API key is malformed.")


@pytest.mark.parametrize("change", [str.swapcase, lambda key: key[:-1] + "_"])
def test_a_management_api_key_is_compared_exactly(
    gateway: Gateway, get: Get, api_key: str, change: Callable[[str], str]
) -> None:
    token = "bfst-" + change(api_key.removeprefix("bfst-"))

    response = get("teams", token=token)

    assert response.status_code == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_management_api_key_made_while_serving_counts_from_the_next_request(
    gateway: Gateway, client: FlaskClient, tmp_path: Path, route: str
) -> None:
    unknown = client.get(f"/api/governance/{route}", headers=bearer("bfst-" + "A" * 44))

    token = create_api_key(tmp_path / "access.db", "new")
    known = client.get(f"/api/governance/{route}", headers=bearer(token))

    assert (unknown.status_code, known.status_code) == (401, 200)


@pytest.mark.parametrize("route", ROUTES)
def test_an_expired_management_api_key_is_refused(
    gateway: Gateway, get: Get, tmp_path: Path, route: str
) -> None:
    token = create_api_key(tmp_path / "access.db", "old", timedelta(seconds=-1))

    response = get(route, token=token)

    assert refusal(response) == invalid("The management API key has expired.")


def test_a_management_api_key_expires_while_it_is_in_use(
    gateway: Gateway, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InTwoHours(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=2)

    token = create_api_key(tmp_path / "access.db", "hour", timedelta(hours=1))

    before = get("teams", token=token)
    monkeypatch.setattr(auth, "datetime", InTwoHours)
    after = get("teams", token=token)

    assert before.status_code == 200
    assert refusal(after) == invalid("The management API key has expired.")


@pytest.mark.parametrize("route", ROUTES)
def test_revoking_a_management_api_key_counts_from_the_next_request(
    gateway: Gateway, get: Get, tmp_path: Path, source: str, route: str
) -> None:
    token = create_api_key(tmp_path / "access.db", "leaked")

    before = get(route, token=token, source=source)
    revoke_api_key(tmp_path / "access.db", "leaked")
    after = get(route, token=token, source=source)

    assert before.status_code == 200
    assert refusal(after) == invalid("The management API key was revoked.")


@pytest.mark.parametrize("route", ROUTES)
def test_without_a_file_there_are_no_management_api_keys(
    gateway: Gateway, client: FlaskClient, route: str
) -> None:
    headers = bearer("bfst-" + "A" * 44)

    response = client.get(f"/api/governance/{route}", headers=headers)

    assert refusal(response) == invalid("The management API key is not known.")


def test_deleting_the_file_ends_all_management_api_keys(
    gateway: Gateway, get: Get, tmp_path: Path
) -> None:
    before = get("teams")

    (tmp_path / "access.db").unlink()
    after = get("teams")

    assert before.status_code == 200
    assert refusal(after) == invalid("The management API key is not known.")


@pytest.mark.parametrize("route", ROUTES)
def test_a_file_of_api_keys_that_is_garbage_is_503_until_it_is_back(
    gateway: Gateway, get: Get, tmp_path: Path, route: str
) -> None:
    path = tmp_path / "access.db"
    good = path.read_bytes()

    path.write_bytes(b"no database at all, " * 100)
    broken = get(route)
    path.write_bytes(good)
    mended = get(route)

    assert broken.status_code == 503
    assert mended.status_code == 200


def test_other_callers_do_not_need_the_file_of_api_keys(
    filled: Gateway, client: FlaskClient, admin_jwt: str, tmp_path: Path
) -> None:
    (tmp_path / "access.db").write_bytes(b"no database at all, " * 100)

    response = client.get(TEAMS, headers=bearer(admin_jwt))

    assert response.status_code == 200


# Virtual keys


def test_a_virtual_key_is_found_by_the_hash_of_its_value(
    filled: Gateway, get: Get, source: str
) -> None:
    response = get("teams", token="sk-bf-key-ops-0000-fake", source=source)

    assert response.status_code == 200


@pytest.mark.parametrize("value_hash", [None, ""])
def test_a_virtual_key_without_a_hash_is_found_by_its_value(
    gateway: Gateway, get: Get, value_hash: str | None
) -> None:
    gateway.team("lone")
    token = gateway.virtual_key("old", team_id="lone", value_hash=value_hash)

    response = get("teams", token=token)

    assert ids(response) == ["lone"]


def test_a_virtual_key_with_a_hash_is_not_found_by_its_value(
    gateway: Gateway, get: Get
) -> None:
    token = gateway.virtual_key("other", value_hash=sha256("sk-bf-something-else"))

    response = get("teams", token=token)

    assert refusal(response) == invalid("The virtual key is not known.")


def test_an_encrypted_virtual_key_is_found_by_hash(gateway: Gateway, get: Get) -> None:
    gateway.team("lone")
    gateway.virtual_key(
        "locked-away",
        team_id="lone",
        value="c2FsdHk6Y2lwaGVydGV4dA==",
        value_hash=sha256("sk-bf-in-clear"),
        encryption_status="encrypted",
    )

    response = get("teams", token="sk-bf-in-clear")

    assert shown_values(response) == {"locked-away": {""}}


@pytest.mark.parametrize(
    "token", ["sk-bf-unknown", "sk-bf-", "sk-bf-key-ops-0000-fakE", "sk-bf-ü"]
)
def test_an_unknown_virtual_key_is_refused(
    filled: Gateway, get: Get, token: str
) -> None:
    response = get("teams", token=token)

    assert refusal(response) == invalid("The virtual key is not known.")


def test_an_inactive_virtual_key_is_refused(
    filled: Gateway, get: Get, source: str
) -> None:
    response = get("teams", token="sk-bf-key-dev-0000-fake", source=source)

    assert refusal(response) == invalid("The virtual key is not active.")


@pytest.mark.parametrize("is_active", [1, None, "true"])
def test_a_virtual_key_is_active_unless_it_says_otherwise(
    gateway: Gateway, get: Get, is_active: Any
) -> None:
    token = gateway.virtual_key("any", is_active=is_active)

    response = get("teams", token=token)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "expires_at",
    [
        "2020-01-01 00:00:00+00:00",
        "2020-01-01T00:00:00Z",
        "2020-01-01 00:00:00.999999999+00:00",
    ],
)
def test_an_expired_virtual_key_is_refused(
    gateway: Gateway, get: Get, expires_at: str
) -> None:
    token = gateway.virtual_key("any", expires_at=expires_at)

    response = get("teams", token=token)

    assert refusal(response) == invalid("The virtual key has expired.")


@pytest.mark.parametrize(
    "expires_at", [None, "", "0001-01-01 00:00:00+00:00", "2999-01-01 00:00:00+00:00"]
)
def test_a_virtual_key_that_has_not_expired_is_taken(
    gateway: Gateway, get: Get, expires_at: str | None
) -> None:
    token = gateway.virtual_key("any", expires_at=expires_at)

    response = get("teams", token=token)

    assert response.status_code == 200


@pytest.mark.usefixtures("no_background_check")
@pytest.mark.parametrize("kind", ["virtual key", "virtual-key JWT"])
def test_switching_a_virtual_key_off_counts_from_the_next_request_to_the_database(
    gateway: Gateway, get: Get, kind: str
) -> None:
    value = gateway.virtual_key("any")
    token = value if kind == "virtual key" else signed(role="virtual_key", sub="any")

    before = get("teams", token=token)
    gateway.execute("UPDATE governance_virtual_keys SET is_active = 0")
    after = get("teams", token=token)

    assert before.status_code == 200
    assert refusal(after) == invalid("The virtual key is not active.")


@pytest.mark.usefixtures("no_background_check")
@pytest.mark.parametrize("kind", ["virtual key", "virtual-key JWT"])
def test_switching_a_virtual_key_off_counts_from_the_next_snapshot_in_memory(
    gateway: Gateway, get: Get, kind: str
) -> None:
    value = gateway.virtual_key("any")
    token = value if kind == "virtual key" else signed(role="virtual_key", sub="any")
    get("teams")

    gateway.execute("UPDATE governance_virtual_keys SET is_active = 0")
    before_snapshot = get("teams", token=token, from_memory="true")
    get("teams")  # takes the next snapshot
    after_snapshot = get("teams", token=token, from_memory="true")

    assert before_snapshot.status_code == 200
    assert refusal(after_snapshot) == invalid("The virtual key is not active.")


@pytest.mark.usefixtures("no_background_check")
def test_a_new_virtual_key_is_known_in_memory_from_the_next_snapshot(
    gateway: Gateway, get: Get
) -> None:
    get("teams")

    token = gateway.virtual_key("new")
    in_memory = get("teams", token=token, from_memory="true")
    in_database = get("teams", token=token)

    assert refusal(in_memory) == invalid("The virtual key is not known.")
    assert in_database.status_code == 200


# Whose teams a virtual key sees


SEES = [
    ("key-ops", ["acme-ops", "acme-dev"]),
    ("key-acme", ["acme-ops", "acme-dev"]),
    ("key-zenith", ["zenith-ml"]),
    ("key-lone", ["lone"]),
    ("key-nobody", []),
    ("key-astray", []),
]


@pytest.fixture
def with_more_keys(filled: Gateway) -> Gateway:
    """Also a key of the other customer, and one of a team that is not there."""
    filled.virtual_key("key-zenith", customer_id="zenith")
    filled.virtual_key("key-astray", team_id="gone")
    return filled


@pytest.mark.parametrize(("virtual_key_id", "expected"), SEES)
def test_a_virtual_key_sees_the_teams_of_its_customer_or_its_lone_team(
    with_more_keys: Gateway,
    get: Get,
    source: str,
    virtual_key_id: str,
    expected: list[str],
) -> None:
    token = f"sk-bf-{virtual_key_id}-0000-fake"

    response = get("teams", token=token, source=source)

    assert ids(response) == expected
    assert response.get_json()["count"] == len(expected)


@pytest.mark.parametrize(("virtual_key_id", "expected"), SEES)
def test_a_virtual_key_jwt_sees_what_the_key_itself_sees(
    with_more_keys: Gateway, get: Get, virtual_key_id: str, expected: list[str]
) -> None:
    token = signed(role="virtual_key", sub=virtual_key_id)

    by_jwt = get("teams", token=token)
    by_key = get("teams", token=f"sk-bf-{virtual_key_id}-0000-fake")

    assert ids(by_jwt) == expected
    assert by_jwt.data == by_key.data


@pytest.mark.parametrize(
    ("virtual_key_id", "customer_id", "expected"),
    [
        ("key-ops", "acme", ["acme-ops", "acme-dev"]),
        ("key-ops", "", ["acme-ops", "acme-dev"]),
        ("key-ops", "zenith", []),
        ("key-ops", "unknown", []),
        ("key-lone", "acme", []),
        ("key-lone", "lone", []),
        ("key-nobody", "acme", []),
    ],
)
def test_the_customer_filter_never_widens_what_a_virtual_key_sees(
    filled: Gateway,
    get: Get,
    source: str,
    virtual_key_id: str,
    customer_id: str,
    expected: list[str],
) -> None:
    token = f"sk-bf-{virtual_key_id}-0000-fake"

    response = get("teams", token=token, source=source, customer_id=customer_id)

    assert ids(response) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "e"}, ["acme-ops", "acme-dev"]),
        ({"search": "Skunkworks"}, []),
        ({"limit": "1", "offset": "1"}, ["acme-dev"]),
    ],
)
def test_paging_and_search_stay_within_what_a_virtual_key_sees(
    filled: Gateway, get: Get, query: dict[str, str], expected: list[str]
) -> None:
    response = get("teams", token="sk-bf-key-ops-0000-fake", **query)

    assert ids(response) == expected
    assert response.get_json()["total_count"] == len(expected) + int(
        query.get("offset", 0)
    )


def test_the_filter_by_a_virtual_key_counts_only_its_own_teams(
    filled: Gateway, get: Get
) -> None:
    response = get("teams", token="sk-bf-key-lone-0000-fake", limit=1)

    assert response.get_json()["total_count"] == 1


@pytest.mark.parametrize("virtual_key_id", ["key-ops", "key-lone", "key-nobody"])
@pytest.mark.parametrize("kind", ["virtual key", "virtual-key JWT"])
def test_the_scope_all_shows_all_teams_to_a_virtual_key(
    filled: Gateway, make_app: Callable[..., Flask], virtual_key_id: str, kind: str
) -> None:
    client = make_app(GOVERNANCE_VIRTUAL_KEY_SCOPE="all").test_client()
    value = f"sk-bf-{virtual_key_id}-0000-fake"
    by_jwt = signed(role="virtual_key", sub=virtual_key_id)

    token = value if kind == "virtual key" else by_jwt
    response = client.get(TEAMS, headers=bearer(token))

    assert ids(response) == ["acme-ops", "acme-dev", "zenith-ml", "lone"]
    assert shown_values(response) == {
        "key-ops": {f"sk-b{MASK}fake"},
        "key-dev": {f"sk-b{MASK}fake"},
        "key-acme": {f"sk-b{MASK}fake"},
        "key-lone": {f"sk-b{MASK}fake"},
    }


def test_the_scope_all_does_not_take_an_inactive_virtual_key(
    filled: Gateway, make_app: Callable[..., Flask]
) -> None:
    client = make_app(GOVERNANCE_VIRTUAL_KEY_SCOPE="all").test_client()

    response = client.get(TEAMS, headers=bearer("sk-bf-key-dev-0000-fake"))

    assert refusal(response) == invalid("The virtual key is not active.")


@pytest.mark.parametrize("kind", ["virtual key", "virtual-key JWT"])
def test_virtual_key_callers_see_every_value_masked(
    filled: Gateway, get: Get, source: str, kind: str
) -> None:
    by_jwt = signed(role="virtual_key", sub="key-ops")
    token = "sk-bf-key-ops-0000-fake" if kind == "virtual key" else by_jwt

    response = get("teams", token=token, source=source)

    assert shown_values(response) == {
        "key-ops": {f"sk-b{MASK}fake"},
        "key-dev": {f"sk-b{MASK}fake"},
        "key-acme": {f"sk-b{MASK}fake"},
    }


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("x", "*"),
        ("sk-bf-1", "*******"),
        ("sk-bf-12", "********"),
        ("sk-bf-123", f"sk-b{MASK}-123"),
        ("sk-bf-" + "x" * 100 + "last", f"sk-b{MASK}last"),
        ("sk-bf-naïve-ключ", f"sk-b{MASK}ключ"),
    ],
)
def test_a_short_value_is_masked_whole_and_a_long_one_but_for_its_ends(
    gateway: Gateway, get: Get, value: str, masked: str
) -> None:
    gateway.customer("acme")
    gateway.team("acme-ops", "acme")
    gateway.virtual_key("other", value=value, team_id="acme-ops")
    token = gateway.virtual_key("caller", customer_id="acme")

    response = get("teams", token=token)

    assert shown_values(response)["other"] == {masked}


@pytest.mark.parametrize("kind", ["management API key", "admin JWT"])
def test_management_and_admin_see_every_value_in_clear(
    filled: Gateway, get: Get, api_key: str, admin_jwt: str, source: str, kind: str
) -> None:
    token = api_key if kind == "management API key" else admin_jwt

    response = get("teams", token=token, source=source)

    assert shown_values(response) == {
        name: {f"sk-bf-{name}-0000-fake"}
        for name in ("key-ops", "key-dev", "key-acme", "key-lone")
    }


def test_an_encrypted_value_is_empty_for_a_management_api_key_too(
    gateway: Gateway, get: Get
) -> None:
    gateway.team("lone")
    gateway.virtual_key("any", team_id="lone", encryption_status="encrypted")

    response = get("teams")

    assert shown_values(response) == {"any": {""}}


# JSON Web Tokens


def test_an_admin_jwt_sees_all_teams(
    filled: Gateway, get: Get, admin_jwt: str, source: str
) -> None:
    by_jwt = get("teams", token=admin_jwt, source=source)
    by_key = get("teams", source=source)

    assert by_jwt.status_code == 200
    assert by_jwt.data == by_key.data


REFUSED_JWTS: dict[str, tuple[Callable[[], str], str]] = {
    "other secret": (lambda: signed("another-secret-of-32-bytes-or-more!"), FORGED),
    "expired": (lambda: signed(exp=int(time()) - 1), EXPIRED),
    "no exp": (lambda: signed(exp=None), ENDLESS),
    "alg none": (lambda: signed(None, "none"), FORGED),
    "no sub": (lambda: signed(role="virtual_key", sub=None), SUBJECT),
    "empty sub": (lambda: signed(role="virtual_key", sub=""), SUBJECT),
    "other role": (lambda: signed(role="user"), ROLE),
    "role case": (lambda: signed(role="Admin"), ROLE),
    "role list": (lambda: signed(role=["admin"]), ROLE),
    "role object": (lambda: signed(role={"admin": True}), ROLE),
    "no role": (lambda: signed(role=None), ROLE),
    "not before": (lambda: signed(nbf=int(time()) + 3600), ODD),
    "garbage": (lambda: "a.b.c", ODD),
    "only dots": (lambda: "..", ODD),
    "unsigned": (lambda: "eyJhbGciOiJIUzI1NiJ9.e30.", FORGED),
    "signature cut": (lambda: signed().rsplit(".", 1)[0] + ".", FORGED),
    "empty secret": (lambda: signed_by_hand(b""), FORGED),
}


@pytest.mark.parametrize(
    ("make", "message"), REFUSED_JWTS.values(), ids=REFUSED_JWTS.keys()
)
def test_a_jwt_that_is_not_genuine_is_refused(
    filled: Gateway, get: Get, make: Callable[[], str], message: str
) -> None:
    response = get("teams", token=make())

    assert refusal(response) == invalid(message)


@pytest.mark.parametrize(
    "exp",
    [10**400, float("inf"), float("nan"), "soon", [], {}, True, -1, 0],
    ids=lambda exp: str(exp)[:9],
)
def test_a_jwt_whose_exp_is_no_time_to_come_is_refused(
    gateway: Gateway, get: Get, exp: Any
) -> None:
    token = signed(exp=exp)

    response = get("teams", token=token)

    assert response.status_code == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_by_the_same_secret_is_refused(
    gateway: Gateway, make_app: Callable[..., Flask], algorithm: str
) -> None:
    client = make_app(GOVERNANCE_JWT_SECRET=SECRET * 2).test_client()

    same = client.get(TEAMS, headers=bearer(signed(SECRET * 2)))
    other = client.get(TEAMS, headers=bearer(signed(SECRET * 2, algorithm)))

    assert same.status_code == 200
    assert refusal(other) == invalid(FORGED)


def test_a_jwt_with_changed_claims_is_refused(filled: Gateway, get: Get) -> None:
    header, _, signature = signed(role="virtual_key", sub="key-lone").split(".")
    claims = json.dumps({"role": "admin", "exp": int(time()) + 3600})

    response = get("teams", token=f"{header}.{unpadded(claims.encode())}.{signature}")

    assert refusal(response) == invalid(FORGED)


@pytest.mark.parametrize(
    ("virtual_key_id", "message"),
    [
        ("unknown", "The virtual key is not known."),
        ("key-dev", "The virtual key is not active."),
    ],
)
def test_the_virtual_key_of_a_jwt_must_be_alive(
    filled: Gateway, get: Get, source: str, virtual_key_id: str, message: str
) -> None:
    token = signed(role="virtual_key", sub=virtual_key_id)

    response = get("teams", token=token, source=source)

    assert refusal(response) == invalid(message)


def test_the_virtual_key_of_a_jwt_must_not_have_expired(
    gateway: Gateway, get: Get
) -> None:
    gateway.virtual_key("any", expires_at="2020-01-01 00:00:00+00:00")

    response = get("teams", token=signed(role="virtual_key", sub="any"))

    assert refusal(response) == invalid("The virtual key has expired.")


def test_a_remembered_jwt_still_expires(
    gateway: Gateway, get: Get, admin_jwt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = get("teams", token=admin_jwt)

    monkeypatch.setattr(tokens, "time", lambda: time() + 3601)
    after = get("teams", token=admin_jwt)

    assert before.status_code == 200
    assert refusal(after) == invalid(EXPIRED)


def test_a_refused_jwt_is_not_remembered_as_a_good_one(
    gateway: Gateway, get: Get
) -> None:
    token = signed(role="user")

    answers = [get("teams", token=token).status_code for _ in range(2)]

    assert answers == [401, 401]


def test_a_jwt_is_refused_where_there_is_no_key_to_verify_it(
    gateway: Gateway, make_app: Callable[..., Flask], admin_jwt: str
) -> None:
    client = make_app(GOVERNANCE_JWT_SECRET="").test_client()

    response = client.get(TEAMS, headers=bearer(admin_jwt))

    expected = "The JWT is not valid: this service has no key to verify it with."
    assert refusal(response) == invalid(expected)


def test_a_jwt_by_the_secret_file_is_taken_once_the_file_is_there(
    gateway: Gateway, make_app: Callable[..., Flask], admin_jwt: str, tmp_path: Path
) -> None:
    client = make_app(GOVERNANCE_JWT_SECRET="").test_client()
    before = client.get(TEAMS, headers=bearer(admin_jwt))

    (tmp_path / "jwt-secret").write_text(f"{SECRET}\n")
    after = client.get(TEAMS, headers=bearer(admin_jwt))

    assert (before.status_code, after.status_code) == (401, 200)


def test_the_secret_goes_before_the_secret_file(
    gateway: Gateway, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    other = "another-secret-of-32-bytes-or-more!"
    (tmp_path / "jwt-secret").write_text(other)
    client = make_app().test_client()

    response = client.get(TEAMS, headers=bearer(signed(other)))

    assert refusal(response) == invalid(FORGED)


@pytest.fixture
def by_public_key(
    make_app: Callable[..., Flask], tmp_path: Path
) -> Callable[..., FlaskClient]:
    """Makes a client of an application with that key's public half configured."""

    def make(private_key: Any, **overrides: str) -> FlaskClient:
        path = tmp_path / "public.pem"
        path.write_bytes(public_pem(private_key))
        overrides["GOVERNANCE_JWT_PUBLIC_KEY_FILE"] = str(path)
        return make_app(**overrides).test_client()

    return make


ALGORITHMS = ("RS256", "ES256", "EdDSA")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_jwt_by_the_public_key_is_taken(
    filled: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    algorithm: str,
    secret: str,
) -> None:
    client = by_public_key(private_keys[algorithm], GOVERNANCE_JWT_SECRET=secret)
    admin = signed(private_keys[algorithm], algorithm)
    virtual_key = signed(
        private_keys[algorithm], algorithm, role="virtual_key", sub="key-lone"
    )

    by_admin = client.get(TEAMS, headers=bearer(admin))
    by_virtual_key = client.get(TEAMS, headers=bearer(virtual_key))

    assert len(ids(by_admin)) == 4
    assert ids(by_virtual_key) == ["lone"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_jwt_by_the_secret_is_taken_beside_a_public_key(
    gateway: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    algorithm: str,
    admin_jwt: str,
) -> None:
    client = by_public_key(private_keys[algorithm])

    response = client.get(TEAMS, headers=bearer(admin_jwt))

    assert response.status_code == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("secret", ["", SECRET])
def test_the_text_of_the_public_key_is_no_hs256_secret(
    gateway: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    algorithm: str,
    secret: str,
) -> None:
    client = by_public_key(private_keys[algorithm], GOVERNANCE_JWT_SECRET=secret)
    pem = public_pem(private_keys[algorithm])

    forgeries = [signed_by_hand(text) for text in (pem, pem.strip(), pem[:-1])]
    answers = [client.get(TEAMS, headers=bearer(token)) for token in forgeries]

    assert [refusal(answer) for answer in answers] == [invalid(FORGED)] * 3


@pytest.mark.parametrize("configured", ALGORITHMS)
@pytest.mark.parametrize("signing", ALGORITHMS)
def test_only_the_configured_public_key_verifies(
    gateway: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    configured: str,
    signing: str,
) -> None:
    client = by_public_key(private_keys[configured], GOVERNANCE_JWT_SECRET="")

    token = signed(private_keys[signing], signing)
    response = client.get(TEAMS, headers=bearer(token))

    assert response.status_code == (200 if configured == signing else 401)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_same_public_key_is_refused(
    gateway: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    algorithm: str,
) -> None:
    client = by_public_key(private_keys["RS256"])

    token = signed(private_keys["RS256"], algorithm)
    response = client.get(TEAMS, headers=bearer(token))

    assert refusal(response) == invalid(FORGED)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_of_the_same_algorithm_is_refused(
    gateway: Gateway,
    by_public_key: Callable[..., FlaskClient],
    private_keys: dict[str, Any],
    algorithm: str,
) -> None:
    other = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()
    client = by_public_key(private_keys[algorithm], GOVERNANCE_JWT_SECRET="")

    response = client.get(TEAMS, headers=bearer(signed(other, algorithm)))

    assert refusal(response) == invalid(FORGED)


def test_a_key_in_the_header_of_a_jwt_is_not_believed(
    gateway: Gateway, client: FlaskClient, private_keys: dict[str, Any]
) -> None:
    key = private_keys["RS256"]
    claims = {"role": "admin", "exp": int(time()) + 3600}
    headers = {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))}
    token = jwt.encode(claims, key, algorithm="RS256", headers=headers)

    response = client.get(TEAMS, headers=bearer(token))

    assert refusal(response) == invalid(FORGED)


def test_a_verified_signature_is_remembered(
    gateway: Gateway, get: Get, admin_jwt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> dict[str, Any]:
        raise AssertionError("verified again")

    get("teams", token=admin_jwt)
    monkeypatch.setattr(jwt, "decode", refuse)
    response = get("teams", token=admin_jwt)

    assert response.status_code == 200


# The customers route takes nothing but a management API key


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: "sk-bf-key-ops-0000-fake", "A virtual key"),
        (lambda: "sk-bf-unknown", "A virtual key"),
        (lambda: make_token(SECRET.encode(), "admin", "me", 60), "An admin JWT"),
        (
            lambda: make_token(SECRET.encode(), "virtual_key", "key-ops", 60),
            "A virtual-key JWT",
        ),
        (lambda: signed("another-secret-of-32-bytes-or-more!"), "A JWT"),
        (lambda: signed(exp=1), "A JWT"),
        (lambda: signed(None, "none"), "A JWT"),
        (lambda: "a.b.c", "A JWT"),
    ],
    ids=["key", "unknown", "admin", "key's", "forged", "expired", "none", "junk"],
)
def test_the_customers_route_says_which_kind_it_does_not_take_and_why(
    filled: Gateway, get: Get, source: str, make: Callable[[], str], kind: str
) -> None:
    response = get("customers", token=make(), source=source)

    assert refusal(response) == invalid(f"{kind} {NOT_HERE}")


def test_the_scope_all_opens_no_customers(
    filled: Gateway, make_app: Callable[..., Flask]
) -> None:
    client = make_app(GOVERNANCE_VIRTUAL_KEY_SCOPE="all").test_client()

    response = client.get(CUSTOMERS, headers=bearer("sk-bf-key-ops-0000-fake"))

    assert refusal(response) == invalid(f"A virtual key {NOT_HERE}")


# Authentication off


@pytest.fixture
def open_client(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of an application that asks for no credentials."""
    return make_app(GOVERNANCE_AUTH="off").test_client()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", ""])
def test_with_authentication_off_loopback_needs_no_credential(
    filled: Gateway, open_client: FlaskClient, address: str, route: str
) -> None:
    """Nor does a Unix socket, whose clients have no address."""
    environ = {"REMOTE_ADDR": address}

    response = open_client.get(f"/api/governance/{route}", environ_base=environ)

    assert response.status_code == 200
    assert shown_values(response)["key-ops"] == {"sk-bf-key-ops-0000-fake"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "address", ["10.0.0.7", "192.168.1.4", "8.8.8.8", "0.0.0.0", "fe80::1", "local"]
)
def test_with_authentication_off_other_addresses_are_refused(
    filled: Gateway, open_client: FlaskClient, address: str, route: str
) -> None:
    environ = {"REMOTE_ADDR": address}
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}

    response = open_client.get(
        f"/api/governance/{route}", environ_base=environ, headers=headers
    )

    assert refusal(response) == (
        401,
        "missing_credentials",
        "Authentication is off, and then only loopback addresses are answered.",
    )
