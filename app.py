"""The governance lists as a Flask application: create_app() and the two list routes."""

import re
import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import cast

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request
from marshmallow import ValidationError

from access_log import hide_tokens, register_access_log, set_up_logging
from auth import Authenticator, Kind
from commands import register_commands
from database import Reader
from errors import ApiError, register_error_handlers
from keeper import Keeper
from models import MODELS, REQUIRED
from schemas import CustomersQuerySchema, Query, TeamsQuerySchema, TrueOrFalse
from settings import load_settings
from snapshot import Answer, Scope, Snapshot

# Which credentials the two documents take; anything else is 401.
TEAMS_TAKE = (
    Kind.MANAGEMENT_KEY,
    Kind.ADMIN_JWT,
    Kind.VIRTUAL_KEY_JWT,
    Kind.VIRTUAL_KEY,
)
CUSTOMERS_TAKE = (Kind.MANAGEMENT_KEY,)

lists = Blueprint("lists", __name__, url_prefix="/api/governance")
health = Blueprint("health", __name__)

TELLING_LENGTH = 16  # a shorter request id may be in a credential by chance

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+=-]{1,128}", re.ASCII)


def create_app(settings: Mapping[str, str] | None = None) -> Flask:
    """The application. `settings` go before the environment, by the same names.

    Raises SettingError. Opens no database: the first request does, or `serve`.
    """
    loaded = load_settings(settings)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # governance//teams is 404, not a redirect
    app.extensions["settings"] = loaded
    app.extensions["authenticator"] = Authenticator(loaded)
    reader = Reader(loaded.database, MODELS, REQUIRED)
    app.extensions["keeper"] = Keeper(reader, loaded.snapshot_seconds)
    set_up_logging()
    register_access_log(app)
    register_error_handlers(app)
    register_commands(app)
    app.before_request(begin_request)
    app.after_request(finish_response)
    app.register_blueprint(lists)
    app.register_blueprint(health)
    return app


@lists.get("/teams")
def list_teams() -> Response:
    """All teams that the caller sees, each with its customer and its virtual keys."""
    snapshot, scope = authorize(TEAMS_TAKE)
    query = load_query(TeamsQuerySchema())
    return respond(snapshot.teams(query, scope), query)


@lists.get("/customers")
def list_customers() -> Response:
    """All customers, each with its teams and all their virtual keys."""
    snapshot, scope = authorize(CUSTOMERS_TAKE)
    query = load_query(CustomersQuerySchema())
    return respond(snapshot.customers(query, scope), query)


@health.get("/healthz")
def tell_alive() -> Response:
    """That the process answers; nothing else is looked at."""
    return _json({"status": "ok"})


@health.get("/readyz")
def tell_ready() -> Response:
    """Whether lists can be answered: the snapshot's age, counts, the last failure."""
    _keeper().start()
    state = _keeper().state()
    return _json(state, status=200 if state["ready"] else 503)


def begin_request() -> None:
    """Give the request its id: a sane incoming one, else one of our own."""
    g.began = perf_counter()
    given = request.headers.get("X-Request-Id", "")
    sane = _REQUEST_ID.fullmatch(given) and hide_tokens(given) == given
    # Who sends a credential there too shall not have it echoed, nor a part that tells.
    credential = request.headers.get("Authorization", "")
    telling = len(given) >= TELLING_LENGTH and given in credential
    if not sane or telling or given in credential.split():
        given = secrets.token_hex(16)
    g.request_id = given


def finish_response(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    return response


def authorize(taken: tuple[Kind, ...]) -> tuple[Snapshot, Scope]:
    """The snapshot to answer from, and what the caller sees of it.

    Before the parameters are judged: who may not call is not told what is wrong with
    them. The same snapshot judges a virtual key and answers.
    """
    authenticator = cast(Authenticator, current_app.extensions["authenticator"])
    g.caller = authenticator.identify(
        request.headers.get("Authorization"), request.remote_addr, taken
    )
    keeper = _keeper()
    keeper.start()
    snapshot = keeper.remembered() if _wants_memory() else keeper.current()
    return snapshot, authenticator.scope(g.caller, snapshot)


def load_query(schema: CustomersQuerySchema) -> Query:
    """The query's parameters; 400 names the first that is of the wrong kind."""
    try:
        return cast(Query, schema.load(request.args.to_dict()))
    except ValidationError as problem:
        param, messages = next(iter(cast(dict, problem.messages).items()))
        message = f"The parameter {param} {messages[0]}."
        raise ApiError(400, "invalid_parameter", message, param) from None


def respond(answer: Answer, query: Query) -> Response:
    """The answer with its headers; 304 for whoever has it already."""
    response = Response(mimetype="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    response.headers["ETag"] = f'"{answer.etag}"'
    if query.from_memory:
        response.headers["Age"] = str(_keeper().age())
    if request.if_none_match.contains_weak(answer.etag):
        response.status_code = 304
        del response.headers["Content-Type"]
        return response
    response.response = answer.pieces() if answer.body is None else [answer.body]
    response.content_length = answer.size
    response.direct_passthrough = True  # bytes as they are, to the server
    return response


def _wants_memory() -> bool:
    try:
        return bool(TrueOrFalse().deserialize(request.args.get("from_memory") or "0"))
    except ValidationError:
        return False  # load_query says so, to a caller who may know


def _keeper() -> Keeper:
    return cast(Keeper, current_app.extensions["keeper"])


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")
