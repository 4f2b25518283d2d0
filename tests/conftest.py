"""Fixtures that most tests need: a gateway's database, an application, credentials."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from credentials import SECRET
from flask import Flask
from flask.testing import FlaskClient
from gateway import LAYOUTS, Gateway, Layout, fill
from service import kill_what_is_left
from werkzeug.test import TestResponse

from app import create_app
from callers.api_keys import create_api_key
from callers.tokens import make_token

if TYPE_CHECKING:
    from controlled import Controlled
    from postgres_server import Server


@pytest.fixture(autouse=True, scope="session")
def usual_signals() -> None:
    """Services that tests start inherit what is ignored, as under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def layout() -> Layout:
    """The layout of a test's tables: the newest, unless it runs `in_all_layouts`."""
    return "july"


@pytest.fixture(params=["teams", "customers"])
def name(request: pytest.FixtureRequest) -> str:
    """The names of both lists, one after the other."""
    return str(request.param)


@pytest.fixture(params=["database", "memory"])
def source(request: pytest.FixtureRequest) -> str:
    """Both modes, one after the other."""
    return str(request.param)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """An empty database of a July gateway."""
    return Gateway(tmp_path / "config.db", "july")


@pytest.fixture(scope="session")
def filled_bytes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of filled databases by layout, made once: most tests need one."""
    made = {}
    for layout in LAYOUTS:
        gateway = Gateway(tmp_path_factory.mktemp(layout) / "config.db", layout)
        fill(gateway)
        made[layout] = gateway.path.read_bytes()
    return made


@pytest.fixture
def filled(tmp_path: Path, layout: Layout, filled_bytes: dict[str, bytes]) -> Gateway:
    """A database with a little of everything."""
    (tmp_path / "config.db").write_bytes(filled_bytes[layout])
    return Gateway(tmp_path / "config.db", layout)


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """A PostgreSQL server, for all tests that want one."""
    from postgres_server import start_or_skip

    server = start_or_skip()
    yield server
    server.remove()


@pytest.fixture(scope="session", autouse=True)
def _no_services_left() -> Iterator[None]:
    yield
    kill_what_is_left()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The settings of the tests' applications; all files are in tmp_path."""
    return {
        "GOVERNANCE_DATABASE": str(tmp_path / "config.db"),
        "GOVERNANCE_ACCESS_DATABASE": str(tmp_path / "access.db"),
        "GOVERNANCE_JWT_SECRET": SECRET,
        "GOVERNANCE_JWT_SECRET_FILE": str(tmp_path / "jwt-secret"),
        "GOVERNANCE_JWT_PUBLIC_KEY_FILE": "",
        "GOVERNANCE_SNAPSHOT_SECONDS": "3600",
        "GOVERNANCE_VIRTUAL_KEY_SCOPE": "own",
        "GOVERNANCE_AUTH": "on",
    }


@pytest.fixture
def make_app(settings: dict[str, str]) -> Iterator[Callable[..., Flask]]:
    """Makes applications, with settings of their own if given; closes them after."""
    made: list[Flask] = []

    def make(**overrides: str) -> Flask:
        app = create_app({**settings, **overrides})
        app.testing = False  # failures become answers, as in service
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["keeper"].stop()
        app.extensions["authenticator"].close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def api_key(tmp_path: Path) -> str:
    """A management API key that works."""
    return create_api_key(tmp_path / "access.db", "tests")


@pytest.fixture
def admin_jwt() -> str:
    return make_token(SECRET.encode(), "admin", "admin", 3600)


@pytest.fixture
def get(client: FlaskClient, api_key: str) -> Callable[..., TestResponse]:
    """get("teams", token=..., limit=1): a GET with a token, the API key's if not given.

    `token=None` sends no credential; `source="memory"` asks from memory, after a look
    at the database, so that both modes see what was written before.
    """

    def get(
        name: str, token: str | None = api_key, source: str = "database", **query: Any
    ) -> TestResponse:
        if source == "memory":
            client.get(_path(name), headers=_bearer(api_key))
            query["from_memory"] = "true"
        return client.get(_path(name), query_string=query, headers=_bearer(token))

    return get


@pytest.fixture
def own_database(tmp_path: Path) -> Path:
    """A database of our own with one team, Red."""
    from transfer.loading import load_document

    red = {"id": "acme", "name": "Acme", "teams": [{"id": "r", "name": "Red"}]}
    load_document({"customers": [red]}, "data", tmp_path / "config.db")
    return tmp_path / "config.db"


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Iterator[Callable[..., "Controlled"]]:
    """Runs services that tests can drive, over a database of our own or None."""
    from controlled import Controlled

    running: list[Controlled] = []

    def run(database: Path | None, **options: Any) -> Controlled:
        running.append(Controlled(make_app(), database, **options))
        return running[-1]

    yield run
    for each in running:
        each.close()


@pytest.fixture
def service(run: Callable[..., "Controlled"], own_database: Path) -> "Controlled":
    return run(own_database)


def _path(name: str) -> str:
    return f"/api/governance/{name}"


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, for the tests of one file: its event loop is in their way
    elsewhere.
    """
    from browser import chromium_or_skip

    with chromium_or_skip() as browser:
        yield browser


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """new_page(url, **options): a page at its entrance, whose complaints are noted."""
    from browser import NOTES, SOON

    contexts: list[Any] = []

    def new_page(url: str, **options: Any) -> Any:
        options = {"viewport": {"width": 1000, "height": 800}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_init_script(NOTES)
        page = context.new_page()
        page.set_default_timeout(SOON)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(url)
        return page

    yield new_page
    for context in contexts:
        context.close()
