"""The governance lists as a Flask application: create_app() and the two list routes."""

from collections.abc import Mapping
from time import monotonic
from typing import cast

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request

from access_log import log_request, sane_request_id, set_up_logging
from auth import Authenticator
from commands import register_commands
from database import Reader
from errors import register_error_handlers
from keeper import Keeper
from lists import CUSTOMERS, TEAMS, List, Lists, ShortCut, asked_of, reply
from models import MODELS, REQUIRED
from settings import load_settings

lists = Blueprint("lists", __name__, url_prefix="/api/governance")
health = Blueprint("health", __name__)


def create_app(settings: Mapping[str, str] | None = None) -> Flask:
    """The application. `settings` go before the environment, by the same names.

    Raises SettingError. Opens no database: the first request does, or `serve`.
    """
    loaded = load_settings(settings)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # governance//teams is 404, not a redirect
    authenticator = Authenticator(loaded)
    reader = Reader(loaded.database, MODELS, REQUIRED)
    keeper = Keeper(reader, loaded.snapshot_seconds)
    app.extensions["settings"] = loaded
    app.extensions["authenticator"] = authenticator
    app.extensions["keeper"] = keeper
    app.extensions["lists"] = Lists(authenticator, keeper)
    set_up_logging()
    register_error_handlers(app)
    register_commands(app)
    app.before_request(begin_request)
    app.after_request(finish_response)
    app.register_blueprint(lists)
    app.register_blueprint(health)
    app.wsgi_app = ShortCut(app.wsgi_app, app.extensions["lists"])  # type: ignore[method-assign]
    return app


@lists.get("/teams")
def list_teams() -> Response:
    """All teams that the caller sees, each with its customer and its virtual keys."""
    return answer(TEAMS)


@lists.get("/customers")
def list_customers() -> Response:
    """All customers, each with its teams and all their virtual keys."""
    return answer(CUSTOMERS)


@health.get("/healthz")
def tell_alive() -> Response:
    """That the process answers; nothing else is looked at."""
    return _json({"status": "ok"})


@health.get("/readyz")
def tell_ready() -> Response:
    """Whether lists can be answered: the snapshot's age, counts, the last failure."""
    keeper = cast(Keeper, current_app.extensions["keeper"])
    keeper.start()
    state = keeper.state()
    return _json(state, status=200 if state["ready"] else 503)


def answer(of: List) -> Response:
    """A list, for whom the short cut did not answer: HEAD, and all that goes wrong."""
    all_lists = cast(Lists, current_app.extensions["lists"])
    asked = asked_of(request.environ)
    g.caller = all_lists.identify(of, asked)
    sent = reply(all_lists.find(of, asked, g.caller), asked)
    response = Response(sent.body, sent.status, sent.headers)
    response.direct_passthrough = True  # bytes as they are, to the server
    if response.status_code == 304:
        response.headers.pop("Content-Type", None)
    return response


def begin_request() -> None:
    g.began = monotonic()
    g.request_id = sane_request_id(request.environ)


def finish_response(response: Response) -> Response:
    """Tell the request's id, and log the request."""
    response.headers["X-Request-Id"] = g.request_id
    if g.request_id == current_app.extensions.get("unlogged"):
        return response
    size = response.headers.get("Content-Length")
    caller = g.get("caller")
    kind = caller.kind if caller else None
    log_request(
        request.method,
        request.path,
        response.status_code,
        size,
        g.began,
        g.request_id,
        kind,
    )
    return response


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")
