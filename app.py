"""The governance lists as a Flask application: create_app() and the two list routes."""

from web.serving import interrupts  # noqa: F401

# isort: split
from store import drivers  # noqa: F401

# isort: split
import logging
from collections.abc import Mapping
from time import monotonic
from typing import cast

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from callers.authenticator import Authenticator
from commands.command_line import register_commands
from models import MODELS, REQUIRED
from settings import load_settings, unknown_settings
from snapshot.keeper import Keeper, readiness
from snapshot.sources import SnapshotSource
from store.encryption import load_encryption
from store.readers import open_reader
from web.access_log import log_request, sane_request_id, set_up_logging
from web.cors import cors
from web.error_responses import register_error_handlers
from web.lists import (
    CALLER,
    CUSTOMERS,
    LISTS,
    SOURCE,
    TEAMS,
    List,
    Lists,
    asked_of,
)
from web.pages.documentation import documentation
from web.pages.page import pages
from web.short_cut import ALIVE, HEALTH_PATH, ShortCut, request_problem
from web.surroundings import Surrounded

log = logging.getLogger("governance")

lists = Blueprint("lists", __name__, url_prefix="/api/governance")
health = Blueprint("health", __name__)


def create_app(settings: Mapping[str, str] | None = None) -> Flask:
    """Return the application. `settings` override the environment, by the same names.

    Raises SettingError. Opens no database: the first request does, or `serve`.
    """
    loaded = load_settings(settings)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # governance//teams is 404, not a redirect
    authenticator = Authenticator(loaded)
    encryption = load_encryption(loaded)
    reader = open_reader(loaded.database, MODELS, REQUIRED, encryption)
    keeper = Keeper(reader, loaded.snapshot_seconds)
    app.extensions["create_app"] = create_app  # for commands that need another
    app.extensions["settings"] = loaded
    app.extensions["encryption"] = encryption
    app.extensions["authenticator"] = authenticator
    app.extensions["keeper"] = keeper
    app.extensions["lists"] = Lists(authenticator, keeper)
    set_up_logging()
    for problem in unknown_settings() if settings is None else ():
        log.warning("%s", problem)
    register_error_handlers(app)
    register_commands(app)
    app.before_request(begin_request)
    app.after_request(finish_response)
    app.register_blueprint(lists)
    app.register_blueprint(health)
    if loaded.pages == "on":
        app.register_blueprint(pages)
        app.register_blueprint(documentation)
    surroundings = cors(loaded)
    short_cut = ShortCut(app.wsgi_app, app.extensions["lists"])
    entrance = Surrounded(short_cut, surroundings)
    app.extensions["connections"] = []  # what is between granian and the dispatcher
    app.extensions["entrance"] = app.wsgi_app = entrance  # type: ignore[method-assign]
    return app


@lists.get("/teams")
def list_teams() -> Response:
    """Return all teams that the caller sees, with their customers and virtual keys."""
    return answer(TEAMS)


@lists.get("/customers")
def list_customers() -> Response:
    """Return all customers, each with its teams and all their virtual keys."""
    return answer(CUSTOMERS)


@health.get(HEALTH_PATH)
def show_health() -> Response:
    """Answer that the process is alive; nothing is checked."""
    return Response(ALIVE, mimetype="application/json")


@health.get("/readyz")
def show_readiness() -> Response:
    """Return which modes can answer, and the snapshot's age and counts.

    Ready is a service whose database mode answers whoever may call.
    """
    ours = current_app.extensions["keeper"]
    keeper = cast(SnapshotSource, request.environ.get(SOURCE, ours))
    authenticator = cast(Authenticator, current_app.extensions["authenticator"])
    keeper.start()
    state = keeper.state()
    problem = authenticator.api_keys_problem()
    state |= {"ready": state["ready"] and not problem, "api_keys": readiness(problem)}
    return _json(state, status=200 if state["ready"] else 503)


def answer(of: List) -> Response:
    """Answer a list where the short cut did not: HEAD requests, and failures."""
    ours = current_app.extensions["lists"]
    all_lists = cast(Lists, request.environ.get(LISTS, ours))
    asked = asked_of(request.environ)
    g.caller = request.environ[CALLER] = all_lists.identify(of, asked)
    found = all_lists.find(of, asked, g.caller)
    sent = all_lists.reply(found, asked, head=request.method == "HEAD")
    response = Response(sent.body, sent.status, sent.headers)
    response.direct_passthrough = True  # bytes as they are, to the server
    response.automatically_set_content_length = False  # of HEAD it may be unknown
    if response.status_code == 304:
        response.headers.pop("Content-Type", None)
    return response


def begin_request() -> None:
    """Note when the request came, and refuse malformed ones."""
    g.began = monotonic()
    g.request_id = sane_request_id(request.environ)
    if problem := request_problem(request.environ):
        raise problem
    method = request.environ["REQUEST_METHOD"]
    if method != method.upper() and request.url_rule is not None:
        # Werkzeug would take "get" for GET; methods are case-sensitive (RFC 9110, 9.1).
        raise MethodNotAllowed(sorted(request.url_rule.methods or ()))


def finish_response(response: Response) -> Response:
    """Add the request's id to the answer, and log the request."""
    response.headers["X-Request-Id"] = g.request_id
    if g.request_id == current_app.extensions.get("unlogged"):
        return response
    log_request(
        request.environ,
        response.status_code,
        response.headers.get("Content-Length"),
        g.began,
        g.request_id,
        g.get("caller"),
    )
    return response


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")
