"""HTTP as people expect it: tags, headers, request ids, health, the request log."""

import re
from collections.abc import Callable
from io import StringIO
from logging import StreamHandler, getLogger
from pathlib import Path
from typing import Any

import pytest
from credentials import SECRET
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway, fill
from werkzeug.test import TestResponse

from callers.tokens import make_token
from schemas import TeamsQuerySchema
from web.access_log import set_up_logging

TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"
LISTS = [TEAMS, CUSTOMERS]

Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(client: FlaskClient, api_key: str) -> Ask:
    """ask(path, {"X-Request-Id": "1"}): a GET with the API key and more headers."""

    def ask(
        path: str,
        headers: dict[str, str] | None = None,
        token: str = api_key,
        **more: Any,
    ) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        return client.get(path, headers=headers, **more)

    return ask


@pytest.fixture
def no_background_check(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only requests look at the database."""
    monkeypatch.setattr(app.extensions["keeper"], "start", lambda: None)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """The text that the service writes to standard error."""
    set_up_logging()
    written = StringIO()
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", written)
    return written


# Entity tags


@pytest.mark.parametrize("path", LISTS)
def test_the_entity_tag_is_strong(filled: Gateway, ask: Ask, path: str) -> None:
    response = ask(path)

    tag = response.headers["ETag"]
    assert re.fullmatch(r'"[!#-~]+"', tag)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "limit=1&offset=1", "search=e"])
def test_two_applications_give_the_same_tag_for_the_same_data(
    filled: Gateway,
    make_app: Callable[..., Flask],
    api_key: str,
    path: str,
    query: str,
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}

    answers = [
        make_app().test_client().get(path, query_string=query, headers=headers)
        for _ in range(2)
    ]

    tags = {answer.headers["ETag"] for answer in answers}
    assert len(tags) == 1


def test_equal_databases_in_different_files_give_the_same_tag(
    filled: Gateway, make_app: Callable[..., Flask], api_key: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    fill(Gateway(other, "july"))
    headers = {"Authorization": f"Bearer {api_key}"}

    first = make_app().test_client().get(TEAMS, headers=headers)
    app = make_app(GOVERNANCE_DATABASE=str(other))
    second = app.test_client().get(TEAMS, headers=headers)

    assert first.headers["ETag"] == second.headers["ETag"]


@pytest.mark.parametrize("path", LISTS)
def test_both_modes_give_the_same_tag(filled: Gateway, ask: Ask, path: str) -> None:
    from_database = ask(path)
    from_memory = ask(path, query_string="from_memory=true")

    assert from_database.headers["ETag"] == from_memory.headers["ETag"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'budget-key'",
        "UPDATE governance_virtual_keys SET value = 'sk-bf-new' WHERE id = 'key-ops'",
        "UPDATE governance_teams SET name = 'Ops' WHERE id = 'acme-ops'",
        "DELETE FROM governance_virtual_keys WHERE id = 'key-acme'",
        "UPDATE config_keys SET enabled = 0 WHERE id = 1",
        "UPDATE config_mcp_clients SET name = 'other'",
    ],
)
def test_the_tag_changes_with_the_data_and_comes_back_with_it(
    filled: Gateway, ask: Ask, change: str
) -> None:
    before = [ask(path) for path in LISTS]
    good = filled.path.read_bytes()

    filled.execute(change)
    changed = [ask(path) for path in LISTS]
    filled.path.write_bytes(good)
    back = [ask(path) for path in LISTS]

    for one, two, three in zip(before, changed, back, strict=True):
        assert two.headers["ETag"] != one.headers["ETag"] == three.headers["ETag"]
        assert three.data == one.data


@pytest.mark.parametrize("path", LISTS)
def test_the_tag_does_not_change_with_what_is_not_in_the_answer(
    filled: Gateway, ask: Ask, path: str
) -> None:
    before = ask(path)

    filled.execute(
        "UPDATE governance_virtual_keys SET description = 'x' WHERE id = 'key-nobody'"
    )
    after = ask(path)

    assert after.data == before.data
    assert after.headers["ETag"] == before.headers["ETag"]


def test_each_view_has_a_tag_of_its_own(filled: Gateway, ask: Ask) -> None:
    filled.virtual_key("key-zenith", team_id="zenith-ml")

    views = [
        ask(TEAMS),
        ask(TEAMS, token="sk-bf-key-ops-0000-fake"),
        ask(TEAMS, token="sk-bf-key-zenith-0000-fake"),
        ask(TEAMS, token="sk-bf-key-lone-0000-fake"),
        ask(TEAMS, token="sk-bf-key-nobody-0000-fake"),
        ask(TEAMS, query_string="customer_id=acme"),
        ask(TEAMS, query_string="limit=100"),
        ask(TEAMS, query_string="limit=99"),
        ask(CUSTOMERS),
    ]

    tags = {view.headers["ETag"] for view in views}
    assert len(tags) == len(views)


def test_a_masked_answer_has_another_tag_than_the_same_in_clear(
    filled: Gateway, make_app: Callable[..., Flask], ask: Ask
) -> None:
    app = make_app(GOVERNANCE_VIRTUAL_KEY_SCOPE="all")
    headers = {"Authorization": "Bearer sk-bf-key-nobody-0000-fake"}

    clear = ask(TEAMS)
    masked = app.test_client().get(TEAMS, headers=headers)

    assert clear.get_json()["count"] == masked.get_json()["count"]
    assert clear.headers["ETag"] != masked.headers["ETag"]


def test_two_keys_of_one_customer_have_the_same_view_and_tag(
    filled: Gateway, ask: Ask
) -> None:
    by_team = ask(TEAMS, token="sk-bf-key-ops-0000-fake")
    by_customer = ask(TEAMS, token="sk-bf-key-acme-0000-fake")

    assert by_team.data == by_customer.data
    assert by_team.headers["ETag"] == by_customer.headers["ETag"]


# 304


IF_NONE_MATCH = [
    "{tag}",
    "W/{tag}",
    '"other", {tag}',
    '"a", W/"b",{tag} , "c"',
    "*",
]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("if_none_match", IF_NONE_MATCH)
def test_who_has_the_answer_already_gets_304_without_a_body(
    filled: Gateway, ask: Ask, path: str, if_none_match: str
) -> None:
    tag = ask(path).headers["ETag"]

    headers = {"If-None-Match": if_none_match.format(tag=tag)}
    responses = [ask(path, headers), ask(path, headers, query_string="from_memory=1")]

    for response in responses:
        assert (response.status_code, response.data) == (304, b"")
        assert response.headers["ETag"] == tag


@pytest.mark.parametrize(
    "if_none_match", ['"other"', 'W/"other"', "", '"*"', "{bare}", '"{bare}x"']
)
def test_who_has_another_answer_gets_this_one(
    filled: Gateway, ask: Ask, if_none_match: str
) -> None:
    before = ask(TEAMS)
    bare = before.headers["ETag"].strip('"')[:-1]

    response = ask(TEAMS, {"If-None-Match": if_none_match.format(bare=bare)})

    assert (response.status_code, response.data) == (200, before.data)


@pytest.mark.parametrize("path", LISTS)
def test_304_has_the_headers_of_the_answer(
    filled: Gateway, ask: Ask, path: str
) -> None:
    whole = ask(path, {"X-Request-Id": "test-1"})
    headers = {"X-Request-Id": "test-1", "If-None-Match": whole.headers["ETag"]}

    response = ask(path, headers)

    without_body = dict(whole.headers)
    del without_body["Content-Type"], without_body["Content-Length"]
    assert dict(response.headers) == without_body


def test_304_is_not_for_a_caller_who_may_not_see_the_answer(
    filled: Gateway, ask: Ask
) -> None:
    tag = ask(TEAMS).headers["ETag"]

    unknown = ask(TEAMS, {"If-None-Match": tag}, token="sk-bf-unknown")
    masked = ask(TEAMS, {"If-None-Match": tag}, token="sk-bf-key-ops-0000-fake")

    assert (unknown.status_code, masked.status_code) == (401, 200)


def test_head_gets_304_too(filled: Gateway, client: FlaskClient, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    tag = client.head(TEAMS, headers=headers).headers["ETag"]

    response = client.head(TEAMS, headers={**headers, "If-None-Match": tag})

    assert response.status_code == 304


def test_304_ends_with_the_next_change(filled: Gateway, ask: Ask) -> None:
    tag = ask(TEAMS).headers["ETag"]

    filled.execute("UPDATE governance_budgets SET current_usage = current_usage + 1")
    response = ask(TEAMS, {"If-None-Match": tag})

    assert response.status_code == 200


# Headers


@pytest.mark.parametrize("path", LISTS)
def test_each_list_has_these_headers(
    filled: Gateway, ask: Ask, source: str, path: str
) -> None:
    response = ask(path, query_string={"from_memory": str(source == "memory")})

    headers = response.headers
    assert headers.getlist("Cache-Control") == ["private, no-cache"]
    assert headers.getlist("Vary") == ["Authorization, Accept-Encoding"]
    assert headers.getlist("Content-Type") == ["application/json"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "limit=1", "search=nothing", "from_memory=1"])
def test_content_length_is_the_length_sent(
    filled: Gateway, ask: Ask, path: str, query: str
) -> None:
    response = ask(path, query_string=query)

    assert response.headers["Content-Length"] == str(len(response.data))


def test_text_goes_out_as_utf_8(filled: Gateway, ask: Ask) -> None:
    response = ask(TEAMS)

    assert "ML 分析".encode() in response.data


# Request ids


@pytest.mark.parametrize(
    ("path", "request_id"),
    [
        (TEAMS, "2f1c9a52-3b6e-4f6c-8a0e-5c1d6b7a8e90"),
        (TEAMS, "Root=1-67891233-abcdef012345678912345678"),
        (TEAMS, "0af7651916cd43dd8448eb211c80319c"),
        (TEAMS, "x" * 128),
        *((path, "job:42_retry.1+a") for path in (*LISTS, "/healthz", "/readyz", "/")),
    ],
)
def test_a_sane_request_id_is_kept(
    filled: Gateway, ask: Ask, path: str, request_id: str
) -> None:
    response = ask(path, {"X-Request-Id": request_id})

    assert response.headers.getlist("X-Request-Id") == [request_id]


@pytest.mark.parametrize("request_id", ["7", "42", "keyjob-17"])
def test_a_short_request_id_that_is_in_the_credential_by_chance_is_kept(
    gateway: Gateway, ask: Ask, request_id: str
) -> None:
    token = gateway.virtual_key("any", value="sk-bf-7c42-0000")

    response = ask(TEAMS, {"X-Request-Id": request_id}, token=token)

    assert response.headers["X-Request-Id"] == request_id


@pytest.mark.parametrize(
    "request_id",
    [
        "",
        "x" * 129,
        "two words",
        " x\ty",
        "a,b",
        "<script>",
        '"quoted"',
        "a/b",
        "a;b=c",
        "naïve",
        "bfst-abc",
        "sk-bf-abc",
        "SK-BF-ABC",
        "id:bfst-abc",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    ],
)
def test_any_other_request_id_is_replaced(
    filled: Gateway, ask: Ask, request_id: str
) -> None:
    for path in (TEAMS, "/unknown"):
        response = ask(path, {"X-Request-Id": request_id})

        assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "Token"])
def test_a_request_id_equal_to_the_credential_is_replaced(
    gateway: Gateway, client: FlaskClient, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} opaque-token-1", "X-Request-Id": ""}

    response = client.get(TEAMS, headers={**headers, "X-Request-Id": "opaque-token-1"})

    assert "opaque-token-1" not in f"{response.headers}{response.text}"


def test_a_request_id_equal_to_a_part_of_the_credential_is_replaced(
    gateway: Gateway, ask: Ask, api_key: str
) -> None:
    random_part = api_key.removeprefix("bfst-")

    response = ask(TEAMS, {"X-Request-Id": random_part})

    assert random_part not in str(response.headers)


def test_requests_without_an_id_get_different_ones(gateway: Gateway, ask: Ask) -> None:
    ids = {ask(TEAMS).headers["X-Request-Id"] for _ in range(5)}

    assert len(ids) == 5


# Health


def test_healthz_answers_without_credentials_or_a_database(client: FlaskClient) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


@pytest.mark.usefixtures("no_background_check")
def test_readyz_has_age_and_counts_without_credentials(
    filled: Gateway, client: FlaskClient, ask: Ask
) -> None:
    ask(TEAMS)

    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.get_json() == {
        "ready": True,
        "database": {"ready": True},
        "memory": {"ready": True, "age": 0},
        "api_keys": {"ready": True},
        "age": 0,
        "teams": 4,
        "customers": 2,
        "virtual_keys": 5,
        "last_failure": None,
    }


@pytest.mark.usefixtures("no_background_check")
def test_readyz_is_503_before_there_is_a_snapshot(
    filled: Gateway, client: FlaskClient
) -> None:
    response = client.get("/readyz")

    assert response.status_code == 503
    reason = {"ready": False, "reason": "no snapshot was taken yet"}
    assert response.get_json() == {
        "ready": False,
        "database": reason,
        "memory": {**reason, "age": None},
        "api_keys": {"ready": True},
        "age": None,
        "last_failure": None,
    }


@pytest.mark.usefixtures("no_background_check")
def test_readyz_says_why_there_is_no_snapshot(
    tmp_path: Path, client: FlaskClient, ask: Ask
) -> None:
    ask(TEAMS)

    response = client.get("/readyz")

    failure = response.get_json()["last_failure"]
    assert (response.status_code, failure["reason"]) == (
        503,
        "the database does not exist",
    )
    assert str(tmp_path) not in response.text


@pytest.mark.usefixtures("no_background_check")
@pytest.mark.parametrize("asked_between", [False, True])
def test_readyz_is_503_when_only_memory_can_answer(
    filled: Gateway, client: FlaskClient, ask: Ask, asked_between: bool
) -> None:
    ask(TEAMS)

    filled.path.unlink()
    if asked_between:
        ask(TEAMS)
    response = client.get("/readyz")

    body = response.get_json()
    assert (response.status_code, body["ready"], body["teams"]) == (503, False, 4)
    assert body["database"] == {
        "ready": False,
        "reason": "the database does not exist",
    }
    assert body["memory"]["ready"]


@pytest.mark.usefixtures("no_background_check")
def test_readyz_is_503_when_the_api_keys_cannot_be_read(
    filled: Gateway, client: FlaskClient, ask: Ask, tmp_path: Path
) -> None:
    ask(TEAMS)

    (tmp_path / "access.db").write_bytes(b"garbage " * 1000)
    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.get_json()["database"] == {"ready": True}
    assert response.get_json()["api_keys"] == {
        "ready": False,
        "reason": "the API keys' file is not an SQLite database",
    }


def test_readyz_becomes_ready_by_itself(filled: Gateway, app: Flask) -> None:
    client = app.test_client()
    client.get("/readyz")  # starts the background check

    app.extensions["keeper"].stop()  # waits for its first look
    response = client.get("/readyz")

    assert (response.status_code, response.get_json()["ready"]) == (200, True)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("token", ["bfst-x", "sk-bf-unknown", "junk"])
def test_health_does_not_look_at_credentials(
    filled: Gateway, ask: Ask, path: str, token: str
) -> None:
    ask(TEAMS)

    response = ask(path, token=token)

    assert response.status_code == 200


# The log


LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO (?P<method>\S+) (?P<path>\S+)"
    r" (?P<status>\d+) (?P<bytes>\d+|-) \d+\.\d\dms (?P<id>\S+) (?P<address>\S+)"
    r" (?P<caller>\S+)"
)


def request_lines(log: StringIO) -> list[dict[str, str]]:
    matches = [LINE.fullmatch(line) for line in log.getvalue().splitlines()]
    return [match.groupdict() for match in matches if match is not None]


def test_a_request_is_one_line_with_its_fields(
    filled: Gateway, log: StringIO, ask: Ask
) -> None:
    response = ask(TEAMS, {"X-Request-Id": "test-1"}, query_string="limit=1")

    assert request_lines(log) == [
        {
            "method": "GET",
            "path": f"{TEAMS}?limit=1",
            "status": "200",
            "bytes": str(len(response.data)),
            "id": "test-1",
            "address": "127.0.0.1",
            "caller": "management-API-key:tests",
        }
    ]
    assert log.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (TEAMS, "GET", "401"),
        (TEAMS, "POST", "405"),
        (TEAMS, "OPTIONS", "200"),
        (CUSTOMERS, "HEAD", "401"),
        ("/unknown", "GET", "404"),
        ("/healthz", "GET", "200"),
    ],
)
def test_requests_of_nobody_are_logged_too(
    gateway: Gateway,
    log: StringIO,
    client: FlaskClient,
    path: str,
    method: str,
    status: str,
) -> None:
    response = client.open(path, method=method)

    (line,) = request_lines(log)
    assert (line["method"], line["path"], line["status"]) == (method, path, status)
    assert (line["id"], line["caller"]) == (response.headers["X-Request-Id"], "-")


@pytest.mark.parametrize(
    ("make_credential", "kind"),
    [
        (lambda: "sk-bf-key-ops-0000-fake", "virtual-key"),
        (lambda: make_token(SECRET.encode(), "admin", "me", 60), "admin-JWT"),
        (
            lambda: make_token(SECRET.encode(), "virtual_key", "key-ops", 60),
            "virtual-key-JWT",
        ),
    ],
    ids=["virtual key", "admin JWT", "virtual-key JWT"],
)
def test_the_log_has_the_kind_of_caller(
    filled: Gateway,
    log: StringIO,
    ask: Ask,
    make_credential: Callable[[], str],
    kind: str,
) -> None:
    ask(TEAMS, token=make_credential())

    (line,) = request_lines(log)
    assert line["caller"] == kind


def test_the_log_says_that_authentication_is_off(
    filled: Gateway, log: StringIO, make_app: Callable[..., Flask]
) -> None:
    make_app(GOVERNANCE_AUTH="off").test_client().get(TEAMS)

    (line,) = request_lines(log)
    assert (line["status"], line["caller"]) == ("200", "nobody")


@pytest.mark.parametrize("path", ["/a\nb", "/a b", "/a\x1b[31mb", "/ü\u2028x", "/\x00"])
def test_a_path_cannot_break_its_line_in_the_log(
    gateway: Gateway, log: StringIO, client: FlaskClient, path: str
) -> None:
    environ = {"PATH_INFO": path.encode().decode("latin-1")}

    client.get("/", environ_overrides=environ)

    assert len(request_lines(log)) == len(log.getvalue().splitlines()) == 1
    assert log.getvalue().isascii()


def test_the_log_has_a_304_and_no_bytes(
    filled: Gateway, log: StringIO, ask: Ask
) -> None:
    ask(TEAMS, {"If-None-Match": "*"})

    (line,) = request_lines(log)
    assert (line["status"], line["bytes"]) in {("304", "0"), ("304", "-")}


# The log


class Broken(StringIO):
    """A standard error that nobody can write to any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Broken(), None])
def test_a_request_is_answered_though_its_line_cannot_be_written(
    filled: Gateway,
    ask: Ask,
    log: StringIO,
    monkeypatch: pytest.MonkeyPatch,
    stream: StringIO | None,
) -> None:
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", stream)
    monkeypatch.setattr("sys.stderr", None)  # where logging would complain

    response = ask("/api/governance/teams")

    assert response.status_code == 200


def test_the_lines_go_to_who_has_taken_over_the_logger(
    filled: Gateway, ask: Ask, log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_over = StringIO()
    monkeypatch.setattr(
        getLogger("governance"), "handlers", [StreamHandler(taken_over)]
    )

    ask("/api/governance/teams")

    assert "GET /api/governance/teams 200 " in taken_over.getvalue()
    assert log.getvalue() == ""


def test_only_a_short_query_is_remembered(
    gateway: Gateway, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    load = TeamsQuerySchema.load

    def note(schema: TeamsQuerySchema, query: Any) -> Any:
        loaded.append(query)
        return load(schema, query)

    monkeypatch.setattr(TeamsQuerySchema, "load", note)

    short, long = {"search": "short"}, {"search": "long" * 300}
    for query in (short, long, short, long):
        ask(TEAMS, query_string=query)

    assert loaded.count(short) == 1
    assert loaded.count(long) >= 2
