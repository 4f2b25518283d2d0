"""Reading a live gateway: what is asked, what arrives, and what is said of failures."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from fake_gateway import (
    CLIENT,
    GOVERNANCE,
    KEYS,
    PAGE,
    TIMES,
    FakeGateway,
    Reply,
    make_certificate,
)
from reading import answers, rows_of

from models import McpClient, Provider, Team
from store.own import NotOurs
from transfer import pulling
from transfer.checking import check_rows
from transfer.loading import LoadError, load_documents
from transfer.pulling import Credentials, PullError, follow, pull

TOKEN = "a-token-that-nobody-may-see"
VIRTUAL_KEYS = f"{GOVERNANCE}/virtual-keys"
TEAMS = f"{GOVERNANCE}/teams"
CUSTOMERS = f"{GOVERNANCE}/customers"
BUDGETS = f"{GOVERNANCE}/budgets"
OPTIONAL = [
    (BUDGETS, "budgets"),
    (f"{GOVERNANCE}/model-configs", "model configs"),
    (f"{GOVERNANCE}/providers", "limits of providers"),
    (f"{GOVERNANCE}/rate-limits", "rate limits"),
    ("/api/providers", "providers"),
    ("/api/mcp/clients", "MCP clients"),
]
ABSENT = [Reply(404), Reply(405), Reply(501), Reply(200, PAGE)]
NONE = Credentials()


class Told:
    """The lines that a pull printed, and how long it would have slept."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slept: list[float] = []

    def pull(self, url: str, credentials: Credentials = NONE) -> dict[str, Any]:
        """The documents by their source."""
        return dict(pull(url, credentials, self.lines.append, self.slept.append))

    def failure(self, url: str, token: str = TOKEN) -> str:
        """The sentence that a pull ends with. No token is in it or in another line."""
        credentials = Credentials.from_environment({"GATEWAY_TOKEN": token})
        with pytest.raises(PullError) as caught:
            self.pull(url, credentials)
        assert TOKEN not in "\n".join([str(caught.value), *self.lines])
        return str(caught.value)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """A newer gateway with a member in each list."""
    with FakeGateway() as gateway:
        yield gateway


def members(number: int) -> list[dict[str, Any]]:
    return [{"id": f"id-{each}", "name": f"Name {each}"} for each in range(number)]


# What arrives


@pytest.mark.parametrize("objects", [False, True], ids=["arrays", "objects"])
@pytest.mark.parametrize("generation", ["older", "newer"])
def test_every_list_of_either_generation_arrives_in_one_form(
    told: Told, generation: Any, objects: bool
) -> None:
    with FakeGateway(generation, objects=objects) as gateway:
        documents = told.pull(gateway.url)

    lists = gateway.lists
    assert documents == {
        f"GET {VIRTUAL_KEYS}": {"virtual_keys": lists["virtual_keys"]},
        f"GET {TEAMS}": {"teams": lists["teams"]},
        f"GET {CUSTOMERS}": {"customers": lists["customers"]},
        f"GET {GOVERNANCE}/model-configs": {"model_configs": lists["model_configs"]},
        f"GET {GOVERNANCE}/providers": {"governed_providers": []},
        f"GET {BUDGETS}": {"budgets": lists["budgets"]},
        f"GET {GOVERNANCE}/rate-limits": {"rate_limits": lists["rate_limits"]},
        "GET /api/providers": {"providers": [{"name": "openai", "keys": KEYS}]},
        "GET /api/mcp/clients": {"mcp_clients": [CLIENT]},
    }


def test_customers_and_teams_are_asked_for_as_a_whole_and_fresh(
    told: Told, gateway: FakeGateway
) -> None:
    told.pull(gateway.url)

    assert gateway.asked(CUSTOMERS) == [{"from_memory": "false"}]
    assert gateway.asked(TEAMS) == [{"from_memory": "false"}]
    assert gateway.asked(VIRTUAL_KEYS) == [{"limit": "100", "offset": "0"}]


@pytest.mark.parametrize("heed_offset", [True, False])
def test_a_list_of_one_page_is_not_asked_for_again_where_its_total_is_announced(
    told: Told, heed_offset: bool
) -> None:
    with FakeGateway(heed_offset=heed_offset) as gateway:
        told.pull(gateway.url)

    assert len(gateway.requests) == 10


@pytest.mark.parametrize("announce", [True, False])
@pytest.mark.parametrize("cap", [3, 7, 10, 100])
def test_all_pages_arrive_whatever_the_gateway_gives_at_once(
    told: Told, cap: int, announce: bool
) -> None:
    with FakeGateway(cap=cap, announce=announce) as gateway:
        for key in gateway.lists:
            gateway.lists[key] = members(10)
        documents = told.pull(gateway.url)

    assert documents[f"GET {VIRTUAL_KEYS}"] == {"virtual_keys": members(10)}
    assert documents[f"GET {CUSTOMERS}"] == {"customers": members(10)}
    assert documents[f"GET {BUDGETS}"] == {"budgets": members(10)}


def test_a_gateway_that_ignores_the_offset_and_announces_nothing_is_not_asked_forever(
    told: Told,
) -> None:
    with FakeGateway("older") as gateway:
        gateway.lists["virtual_keys"] = members(250)
        documents = told.pull(gateway.url)

    assert len(documents[f"GET {VIRTUAL_KEYS}"]["virtual_keys"]) == 250
    assert len(gateway.asked(VIRTUAL_KEYS)) == 2


def test_the_progress_names_each_list_and_each_page(told: Told) -> None:
    with FakeGateway() as gateway:
        gateway.lists["virtual_keys"] = members(230)
        told.pull(gateway.url)

    assert told.lines == [
        "virtual keys: 100 of 230",
        "virtual keys: 200 of 230",
        "virtual keys: 230 of 230",
        "teams: 1 of 1",
        "customers: 1 of 1",
        "model configs: 1 of 1",
        "limits of providers: 0",
        "budgets: 1 of 1",
        "rate limits: 1 of 1",
        "providers: 1 of 1",
        "keys of openai: 1 of 1",
        "MCP clients: 1 of 1",
    ]


@pytest.mark.parametrize("empty", [[], {}, None], ids=["array", "object", "null"])
def test_an_empty_list_is_one_however_it_is_written(
    told: Told, gateway: FakeGateway, empty: Any
) -> None:
    gateway.always[TEAMS] = Reply(200, orjson.dumps({"teams": empty}))

    documents = told.pull(gateway.url)

    assert documents[f"GET {TEAMS}"] == {"teams": []}


def test_an_object_keyed_by_ids_gives_them_to_members_that_do_not_repeat_them(
    told: Told, gateway: FakeGateway
) -> None:
    gateway.always[TEAMS] = Reply(200, b'{"teams": {"ops": {"name": "Operations"}}}')
    gateway.always["/api/providers"] = Reply(
        200, b'{"providers": {"groq": {"keys": []}}}'
    )

    documents = told.pull(gateway.url)

    assert documents[f"GET {TEAMS}"]["teams"] == [{"id": "ops", "name": "Operations"}]
    providers = documents["GET /api/providers"]["providers"]
    assert providers == [{"name": "groq", "keys": []}]


def test_a_provider_with_a_strange_name_is_asked_for_its_keys_by_that_name(
    told: Told, gateway: FakeGateway
) -> None:
    gateway.always["/api/providers"] = Reply(
        200, b'{"providers": [{"name": "a/../b?"}]}'
    )
    gateway.always["/api/providers/a%2F..%2Fb%3F/keys"] = Reply(200, b'{"keys": []}')

    documents = told.pull(gateway.url)

    providers = documents["GET /api/providers"]["providers"]
    assert providers == [{"name": "a/../b?", "keys": []}]


def test_a_gateway_may_live_under_a_path(told: Told, gateway: FakeGateway) -> None:
    failure = told.failure(f"{gateway.url}/behind/")

    assert failure.startswith(f"{gateway.url}/behind: GET {VIRTUAL_KEYS} answered 404")
    assert gateway.requests[0].path == f"/behind{VIRTUAL_KEYS}"


# Lists that change while they are read


def test_a_list_that_changes_while_it_is_read_is_read_again(
    told: Told, gateway: FakeGateway
) -> None:
    gateway.cap = 2
    gateway.lists["teams"] = members(4)
    first = {"teams": [{"id": "gone", "name": "Gone"}], "total_count": 5}
    gateway.replies[TEAMS] = [Reply(200, orjson.dumps(first))]

    documents = told.pull(gateway.url)

    assert documents[f"GET {TEAMS}"] == {"teams": members(4)}
    assert "teams: changed meanwhile, or not all were given" in told.lines


def test_a_list_of_which_not_all_is_given_is_not_handed_on(
    told: Told, gateway: FakeGateway
) -> None:
    gateway.always[TEAMS] = Reply(200, b'{"teams": [{"id": "t"}], "total_count": 2}')

    failure = told.failure(gateway.url)

    assert failure == f"{gateway.url}: gave 1 teams of 2"


# Lists that a gateway does not have


@pytest.mark.parametrize("absent", ABSENT, ids=["404", "405", "501", "HTML"])
@pytest.mark.parametrize(("path", "words"), OPTIONAL)
def test_a_list_that_not_every_gateway_has_is_passed_over(
    told: Told, gateway: FakeGateway, path: str, words: str, absent: Reply
) -> None:
    gateway.always[path] = absent

    documents = told.pull(gateway.url)

    answer = "HTML" if absent.status == 200 else absent.status
    assert f"{words}: passed over, GET {path} answered {answer}" in told.lines
    assert f"GET {path}" not in documents
    assert len(documents) == 8


def test_a_provider_is_without_keys_where_the_gateway_does_not_list_them(
    told: Told, gateway: FakeGateway
) -> None:
    path = "/api/providers/openai/keys"
    gateway.always[path] = Reply(404)

    documents = told.pull(gateway.url)

    assert documents["GET /api/providers"] == {"providers": [{"name": "openai"}]}
    assert f"keys of openai: passed over, GET {path} answered 404" in told.lines


# What will not pass


@pytest.mark.parametrize("path", [VIRTUAL_KEYS, TEAMS, CUSTOMERS])
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(404), "answered 404; this does not look like a gateway"),
        (Reply(405), "answered 405; this does not look like a gateway"),
        (Reply(200, PAGE), "answered HTML; this does not look like a gateway"),
        (
            Reply(200, b"\n " + PAGE),
            "answered HTML; this does not look like a gateway",
        ),
        (
            Reply(200, b"hello"),
            "answered what is not JSON; this does not look like a gateway",
        ),
        (
            Reply(200, b'{"teams": ['),
            "answered what is not JSON; this does not look like a gateway",
        ),
        (
            Reply(200, b""),
            "answered what is not JSON; this does not look like a gateway",
        ),
        (Reply(401), "answered 401: check GATEWAY_TOKEN"),
        (Reply(403), "answered 403: check GATEWAY_TOKEN"),
        (Reply(400), "answered 400"),
        (Reply(500, TOKEN.encode()), "answered 500"),
    ],
)
def test_what_will_not_pass_is_said_at_once_in_a_sentence(
    told: Told, gateway: FakeGateway, path: str, reply: Reply, sentence: str
) -> None:
    gateway.always[path] = reply

    failure = told.failure(gateway.url)

    assert failure == f"{gateway.url}: GET {path} {sentence}"
    assert told.slept == []
    assert len(gateway.asked(path)) == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{}", 'JSON without "teams"; this does not look like a gateway'),
        (b"[]", 'JSON without "teams"; this does not look like a gateway'),
        (b"null", 'JSON without "teams"; this does not look like a gateway'),
        (b'{"teams": 3}', 'a "teams" that is no list'),
        (b'{"teams": ""}', 'a "teams" that is no list'),
        (b'{"teams": [{"id": "t"}, 3]}', 'a "teams" with [1] no object'),
        (b'{"teams": {"t": null}}', "a \"teams\" with ['t'] no object"),
        (b'{"teams": [{"id": ""}]}', 'a "teams" with [0] without an id'),
        (b'{"teams": [{"id": ["t"]}]}', 'a "teams" with [0] without an id'),
    ],
)
def test_a_wrong_shape_is_said_with_its_path_and_key(
    told: Told, gateway: FakeGateway, body: bytes, sentence: str
) -> None:
    gateway.always[TEAMS] = Reply(200, body)

    failure = told.failure(gateway.url)

    assert failure == f"{gateway.url}: GET {TEAMS} answered {sentence}"


@pytest.mark.parametrize("total", [b'"2"', b"[2]", b"{}", b"null", b"1.5"])
def test_a_total_that_is_no_number_counts_as_none(
    told: Told, gateway: FakeGateway, total: bytes
) -> None:
    body = b'{"teams": [{"id": "t"}], "total_count": ' + total + b"}"
    gateway.always[TEAMS] = Reply(200, body)

    documents = told.pull(gateway.url)

    assert documents[f"GET {TEAMS}"] == {"teams": [{"id": "t"}]}
    assert "teams: 1" in told.lines


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (f"http://user:{TOKEN}@other.example:81/x?{TOKEN}", "other.example"),
        ("//other.example/login", "other.example"),
        (f"/login?{TOKEN}", "itself"),
        ("", "itself"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_said_as_far_as_its_host(
    told: Told, gateway: FakeGateway, status: int, location: str, host: str
) -> None:
    gateway.always[VIRTUAL_KEYS] = Reply(status, headers={"Location": location})

    failure = told.failure(gateway.url)

    answer = f"GET {VIRTUAL_KEYS} answered {status}"
    told_where = f"a redirect to {host}; none is followed"
    assert failure == f"{gateway.url}: {answer}, {told_where}"


def test_a_redirect_takes_no_credentials_to_the_other_host(told: Told) -> None:
    with FakeGateway() as gateway, FakeGateway() as other:
        headers = {"Location": f"{other.url}{BUDGETS}"}
        gateway.always[BUDGETS] = Reply(307, headers=headers)
        told.failure(gateway.url)

    assert other.requests == []


def test_a_host_of_an_unknown_name_is_said_at_once(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    failure = told.failure("http://gateway.example")

    assert failure == "http://gateway.example: there is no host of that name"
    assert told.slept == []


def test_a_certificate_that_nobody_vouches_for_ends_it(
    told: Told, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path / "certificate.pem")

    with FakeGateway(certificate=certificate) as gateway:
        failure = told.failure(gateway.url)

    reason = "no trusted connection, self-signed certificate"
    assert failure == f"{gateway.url}: {reason}"
    assert gateway.requests == []
    assert told.slept == []


def test_a_gateway_without_tls_is_said_to_have_none(
    told: Told, gateway: FakeGateway
) -> None:
    url = gateway.url.replace("http:", "https:")

    failure = told.failure(url)

    assert failure == f"{url}: no trusted connection, it speaks no TLS"


# What may pass


@pytest.mark.parametrize(
    "reply",
    [Reply(429), Reply(502), Reply(503), Reply(504), Reply(reset=True)],
    ids=["429", "502", "503", "504", "reset"],
)
@pytest.mark.parametrize("path", [VIRTUAL_KEYS, BUDGETS])
def test_what_may_pass_is_asked_for_again(
    told: Told, gateway: FakeGateway, path: str, reply: Reply
) -> None:
    gateway.replies[path] = [reply] * 3

    documents = told.pull(gateway.url)

    assert len(documents) == 9
    assert len(gateway.asked(path)) == 4


def test_an_answer_that_breaks_off_is_asked_for_again(
    told: Told, gateway: FakeGateway
) -> None:
    short = {"Content-Length": "100", "Connection": "close"}
    gateway.replies[TEAMS] = [Reply(200, b'{"teams": []}', short)]

    documents = told.pull(gateway.url)

    assert documents[f"GET {TEAMS}"] == {"teams": gateway.lists["teams"]}


def test_the_waits_grow_and_are_not_the_same_for_everybody(
    told: Told, gateway: FakeGateway
) -> None:
    gateway.replies[TEAMS] = [Reply(503)] * 3

    told.pull(gateway.url)

    first, second, third = told.slept
    assert 0.25 <= first <= 0.75
    assert 0.5 <= second <= 1.5
    assert 1 <= third <= 3
    assert len({first, second / 2, third / 4}) == 3
    line = f"GET {TEAMS}: it answered 503; trying again in {first:.1f} s"
    assert line in told.lines


def soon(seconds: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0.25, 0.75),
        ("3600", 30, 30),
        ("9" * 30, 30, 30),
        pytest.param(soon(3600), 30, 30, id="in an hour"),
        pytest.param(soon(-3600), 0.25, 0.75, id="an hour ago"),
        ("tomorrow", 0.25, 0.75),
    ],
)
def test_retry_after_is_followed_up_to_half_a_minute(
    told: Told, gateway: FakeGateway, header: str, least: float, most: float
) -> None:
    gateway.replies[TEAMS] = [Reply(429, headers={"Retry-After": header})]

    told.pull(gateway.url)

    assert least <= told.slept[0] <= most


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (Reply(429), "it answered 429"),
        (Reply(503), "it answered 503"),
        (Reply(reset=True), "the connection broke off"),
        (Reply(hang=True), "no answer in time"),
    ],
    ids=["429", "503", "reset", "hang"],
)
def test_what_does_not_pass_after_all_is_said_after_four_tries(
    told: Told,
    gateway: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    fault: str,
) -> None:
    monkeypatch.setattr(pulling, "TIMEOUT", urllib3.Timeout(connect=5, read=0.1))
    gateway.always[TEAMS] = reply

    failure = told.failure(gateway.url)

    assert failure == f"{gateway.url}: GET {TEAMS}: {fault}; tried 4 times"
    assert len(told.slept) == 3


def test_a_port_where_nobody_listens_is_tried_four_times(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

    failure = told.failure(url)

    fault = "it cannot be reached, Connection refused; tried 4 times"
    assert failure == f"{url}: GET {VIRTUAL_KEYS}: {fault}"
    assert len(told.slept) == 3


# The URL


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{TOKEN}@127.0.0.1:8080",
        f"http://{TOKEN}@127.0.0.1",
        f"user:{TOKEN}@127.0.0.1",
        f"http://127.0.0.1?token={TOKEN}",
        f"http://127.0.0.1#{TOKEN}",
        f"http://user:{TOKEN}",
        "127.0.0.1:8080",
        "localhost",
        "ftp://127.0.0.1",
        "http://",
        "http:///path",
        "http://127.0.0.1 ",
        "http://127.0.0.1\n",
        "",
    ],
)
def test_a_url_that_is_none_or_holds_credentials_is_refused_unrepeated(
    told: Told, url: str
) -> None:
    failure = told.failure(url)

    assert failure == "the URL must read like http://127.0.0.1:8080, no credentials"


# Credentials


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({}, None),
        ({"GATEWAY_TOKEN": "", "GATEWAY_USER": "", "GATEWAY_PASSWORD": ""}, None),
        ({"GATEWAY_TOKEN": TOKEN}, f"Bearer {TOKEN}"),
        ({"GATEWAY_USER": "ana", "GATEWAY_PASSWORD": "pw"}, "Basic YW5hOnB3"),
        ({"GATEWAY_USER": "ana", "GATEWAY_PASSWORD": "密"}, "Basic YW5hOuWvhg=="),
    ],
    ids=["none", "empty", "token", "basic", "basic in UTF-8"],
)
def test_credentials_of_the_environment_go_with_every_request(
    told: Told, gateway: FakeGateway, environ: dict[str, str], header: str | None
) -> None:
    told.pull(gateway.url, Credentials.from_environment(environ))

    assert {request.authorization for request in gateway.requests} == {header}


ADVICE = "set GATEWAY_TOKEN, or GATEWAY_USER and GATEWAY_PASSWORD"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"GATEWAY_TOKEN": TOKEN, "GATEWAY_USER": "u", "GATEWAY_PASSWORD": "p"},
            f"{ADVICE}; it is GATEWAY_TOKEN and GATEWAY_USER and GATEWAY_PASSWORD"
            " that is set",
        ),
        (
            {"GATEWAY_TOKEN": TOKEN, "GATEWAY_USER": "u"},
            f"{ADVICE}; it is GATEWAY_TOKEN and GATEWAY_USER that is set",
        ),
        ({"GATEWAY_USER": TOKEN}, f"{ADVICE}; it is GATEWAY_USER that is set"),
        ({"GATEWAY_PASSWORD": TOKEN}, f"{ADVICE}; it is GATEWAY_PASSWORD that is set"),
        (
            {"GATEWAY_TOKEN": f"{TOKEN}\r\nX-Other: 1"},
            "GATEWAY_TOKEN holds characters that no token has",
        ),
        (
            {"GATEWAY_TOKEN": f"{TOKEN} "},
            "GATEWAY_TOKEN holds characters that no token has",
        ),
        (
            {"GATEWAY_TOKEN": f"{TOKEN}密"},
            "GATEWAY_TOKEN holds characters that no token has",
        ),
    ],
)
def test_credentials_that_cannot_be_meant_are_refused_unrepeated(
    environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(PullError) as caught:
        Credentials.from_environment(environ)

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("environ", "advice"),
    [
        ({}, ADVICE),
        ({"GATEWAY_TOKEN": TOKEN}, "check GATEWAY_TOKEN"),
        (
            {"GATEWAY_USER": "u", "GATEWAY_PASSWORD": TOKEN},
            "check GATEWAY_USER and GATEWAY_PASSWORD",
        ),
    ],
    ids=["none", "token", "basic"],
)
def test_a_401_names_the_variables_to_look_at(
    told: Told, gateway: FakeGateway, environ: dict[str, str], advice: str
) -> None:
    gateway.always[VIRTUAL_KEYS] = Reply(401)

    with pytest.raises(PullError, match=f"answered 401: {advice}$"):
        told.pull(gateway.url, Credentials.from_environment(environ))


def test_credentials_are_not_shown_where_they_are_printed() -> None:
    credentials = Credentials.from_environment({"GATEWAY_TOKEN": TOKEN})

    assert TOKEN not in repr(credentials)


# Following


class Stop(threading.Event):
    """Does not wait; remembers how long it should have. Set after `rounds` rounds."""

    def __init__(self, every: float, rounds: int) -> None:
        super().__init__()
        self.every, self.rounds = every, rounds
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if self.waits.count(self.every) == self.rounds:
            self.set()
        return self.is_set()


def following(
    gateway: FakeGateway, stop: threading.Event, load: Callable[[Any], str]
) -> list[str]:
    """The lines that `follow` prints, every 30 s, until it is stopped."""
    lines: list[str] = []
    follow(gateway.url, NONE, 30, load, lines.append, stop)
    return lines


def test_following_loads_what_it_pulled_round_after_round(gateway: FakeGateway) -> None:
    stop, loaded = Stop(30, rounds=3), []

    def load(documents: Any) -> str:
        loaded.append(dict(documents)[f"GET {TEAMS}"]["teams"])
        gateway.lists["teams"] = members(len(loaded))
        return f"loaded {len(loaded)}"

    lines = following(gateway, stop, load)

    assert loaded[1:] == [members(1), members(2)]
    assert [line for line in lines if "loaded" in line] == [
        "loaded 1",
        "loaded 2",
        "loaded 3",
    ]
    assert stop.waits == [30, 30, 30]


def test_a_round_that_cannot_be_pulled_is_reported_and_the_next_one_tried(
    gateway: FakeGateway,
) -> None:
    gateway.replies[TEAMS] = [Reply(401)]

    lines = following(gateway, Stop(30, rounds=2), lambda _: "loaded")

    problem = f"{gateway.url}: GET {TEAMS} answered 401: {ADVICE}"
    assert f"{problem}; next try in 30 s" in lines
    assert lines[-1] == "loaded"


@pytest.mark.parametrize("problem", [LoadError(["wrong"]), NotOurs("wrong")])
def test_a_round_that_cannot_be_loaded_is_reported_and_the_next_one_tried(
    gateway: FakeGateway, problem: Exception
) -> None:
    problems = [problem]

    def load(_: Any) -> str:
        if problems:
            raise problems.pop()
        return "loaded"

    lines = following(gateway, Stop(30, rounds=2), load)

    assert "wrong; next try in 30 s" in lines
    assert lines[-1] == "loaded"


def test_following_that_was_stopped_before_it_began_asks_nothing(
    gateway: FakeGateway,
) -> None:
    stop = threading.Event()
    stop.set()

    lines = following(gateway, stop, lambda _: "loaded")

    assert lines == []
    assert gateway.requests == []


def test_a_stop_ends_the_wait_before_another_try_and_the_round(
    gateway: FakeGateway,
) -> None:
    gateway.always[TEAMS] = Reply(503)
    stop = threading.Event()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if "trying again" in line:
            stop.set()

    follow(gateway.url, NONE, 30, lambda _: "loaded", tell, stop)

    assert lines[-1].startswith(f"GET {TEAMS}: it answered 503; trying again in ")
    assert len(gateway.asked(TEAMS)) == 2


# A gateway of July


BASIC = "Basic YWRtaW46c2VjcmV0"
LOGINS = [
    (None, {}),
    (BASIC, {"GATEWAY_USER": "admin", "GATEWAY_PASSWORD": "secret"}),
    (f"Bearer {TOKEN}", {"GATEWAY_TOKEN": TOKEN}),
]


@pytest.mark.parametrize(("authorization", "environ"), LOGINS)
def test_all_that_a_gateway_of_july_answers_loads(
    told: Told, tmp_path: Path, authorization: str | None, environ: dict[str, str]
) -> None:
    own = tmp_path / "own.db"
    with FakeGateway("july", authorization=authorization) as gateway:
        credentials = Credentials.from_environment(environ)
        documents = told.pull(gateway.url, credentials)

    load_documents(list(documents.items()), own, replace=True)

    (team,) = answers(own)["teams"]
    (key,) = team["virtual_keys"]
    (config,) = key["provider_configs"]
    assert rows_of(own)[Team][0].source_id == "scim-1"
    assert key["calendar_aligned"] is True
    assert [budget["id"] for budget in key["budgets"]] == ["b-all"]
    (model,) = config["model_budgets"]
    assert (model["model_name"], model["budgets"][0]["id"]) == ("o3", "b-model")
    assert config["keys"][0]["value"] == {
        **{"value": "", "env_var": "env.OPENAI", "from_env": True}
    }
    (mcp_config,) = key["mcp_configs"]
    client = mcp_config["mcp_client"]
    assert client["connection_string"] == "http://***@h/mcp?key=***"
    assert client["headers"]["B"]["env_var"] == "env.MCP"
    (row,) = rows_of(own)[McpClient]
    assert (row.auth_type, row.allowed_extra_headers_json) == ("headers", '["X-Trace"]')
    assert b"SECRET" not in own.read_bytes()


def test_what_a_gateway_of_july_does_not_say_is_not_odd(
    told: Told, tmp_path: Path
) -> None:
    with FakeGateway("july") as gateway:
        documents = told.pull(gateway.url)

    load_documents(list(documents.items()), tmp_path / "own.db", replace=True)

    found = check_rows(rows_of(tmp_path / "own.db"))
    assert [str(finding) for finding in found] == []


def test_a_second_pull_of_a_gateway_of_july_changes_nothing(
    told: Told, tmp_path: Path
) -> None:
    own = tmp_path / "own.db"
    with FakeGateway("july") as gateway:
        for _ in range(2):
            documents = told.pull(gateway.url)
            loaded = load_documents(list(documents.items()), own, replace=True)

    assert set(loaded.counts.values()) == {0}


def test_a_budget_that_a_provider_has_no_more_goes(told: Told, tmp_path: Path) -> None:
    own = tmp_path / "own.db"
    budget = {"id": "b", "max_limit": 1, "reset_duration": "1d", **TIMES}
    governed = {"providers": [{"provider": "openai", "budget": budget}]}
    stored = []
    with FakeGateway("july") as gateway:
        gateway.replies[f"{GOVERNANCE}/providers"] = [
            Reply(200, orjson.dumps(governed))
        ]
        for _ in range(2):
            documents = told.pull(gateway.url)
            load_documents(list(documents.items()), own, replace=True)
            (row,) = rows_of(own)[Provider]
            stored.append(row.budget_id)

    assert stored == ["b", None]
