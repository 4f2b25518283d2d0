"""The governance lists as a Flask application: create_app() and the two list routes."""

import re
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from time import perf_counter
from typing import cast
from urllib.parse import parse_qsl

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
from schemas import CustomersQuerySchema, Query, TeamsQuerySchema
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

TEAMS_QUERY = TeamsQuerySchema()
CUSTOMERS_QUERY = CustomersQuerySchema()

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
    return answer_list(TEAMS_TAKE, TEAMS_QUERY, Snapshot.teams)


@lists.get("/customers")
def list_customers() -> Response:
    """All customers, each with its teams and all their virtual keys."""
    return answer_list(CUSTOMERS_TAKE, CUSTOMERS_QUERY, Snapshot.customers)


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


def answer_list(
    taken: tuple[Kind, ...],
    schema: CustomersQuerySchema,
    list_: Callable[[Snapshot, Query, Scope], Answer],
) -> Response:
    """A list's answer. The parameters are judged last: who may not call is not told
    what is wrong with them. The same snapshot judges a virtual key and answers.
    """
    query, problem = load_query(schema, request.query_string)
    keeper, authenticator = _keeper(), _authenticator()
    g.caller = authenticator.identify(
        request.headers.get("Authorization"), request.remote_addr, taken
    )
    keeper.start()
    snapshot = keeper.remembered() if query.from_memory else keeper.current()
    scope = authenticator.scope(g.caller, snapshot)
    if problem is not None:
        name, words = problem
        message = f"The parameter {name} {words}."
        raise ApiError(400, "invalid_parameter", message, name)
    age = keeper.age() if query.from_memory else None
    return respond(list_(snapshot, query, scope), age)


@lru_cache(1024)  # the same few queries come again and again
def load_query(
    schema: CustomersQuerySchema, query_string: bytes
) -> tuple[Query, tuple[str, str] | None]:
    """A query's parameters, and the first that is of the wrong kind with the reason."""
    given = parse_qsl(query_string.decode("latin-1"), True, errors="replace")
    arguments: dict[str, str] = {}
    for name, value in given:
        arguments.setdefault(name, value)
    try:
        return cast(Query, schema.load(arguments)), None
    except ValidationError as invalid:
        name, words = next(iter(invalid.messages_dict.items()))
        valid = cast(dict, invalid.valid_data)
        from_memory = bool(valid.get("from_memory"))
        return Query(from_memory=from_memory), (str(name), words[0])


def respond(answer: Answer, age: int | None) -> Response:
    """The answer with its headers; 304 for whoever has it already.

    `age` is the snapshot's in seconds, for answers from memory.
    """
    headers = {
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
        "ETag": f'"{answer.etag}"',
    }
    if age is not None:
        headers["Age"] = str(age)
    if request.if_none_match.contains_weak(answer.etag):
        response = Response(status=304, headers=headers)
        del response.headers["Content-Type"]
        return response
    headers["Content-Length"] = str(answer.size)
    body = answer.pieces() if answer.body is None else [answer.body]
    return Response(
        body,
        headers=headers,
        mimetype="application/json",
        direct_passthrough=True,  # bytes as they are, to the server
    )


def _authenticator() -> Authenticator:
    return cast(Authenticator, current_app.extensions["authenticator"])


def _keeper() -> Keeper:
    return cast(Keeper, current_app.extensions["keeper"])


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")
