"""The routes under /_control/, with which tests of clients drive the service.

They exist only where `serve --control` adds them: data, credentials, what was asked,
faults. How data is loaded is not known here; commands/control.py says it.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, request
from marshmallow import Schema, ValidationError

from addresses import Address
from callers import api_keys, tokens
from errors import ApiError
from snapshot.keeper import Keeper
from snapshot.sources import Gone, Stale
from web.control.bodies import MOST_BYTES, ControlBodies
from web.control.faults import Fault, Faults, Instead
from web.control.guard import CONTROL_PREFIX, guard
from web.control.request_record import RequestRecord
from web.control.schemas import (
    KINDS,
    ApiKeyBodySchema,
    FaultBodySchema,
    TokenBodySchema,
)
from web.lists import Lists

TOKEN_SECONDS = 3600
NOT_OURS = (
    "The service reads a gateway's own database, which is never written. To load data,"
    " serve a file that can be loaded, or none."
)

EMPTY = b"{}"

Load = Callable[[bytes, bool], dict[str, Any]]


@dataclass
class Control:
    """What the control routes work on.

    `load` puts a file's bytes into the database, after emptying it or not, and returns
    what to say of it, or raises ApiError. It is None where the database is not ours.
    """

    load: Load | None
    database: Address
    access_database: Address
    jwt_secret: bytes
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))


def add_routes(app: Flask, control: Control) -> None:
    """Add the routes and the record of requests to an application that has faults."""
    record = RequestRecord(app.extensions)
    app.extensions["entrance"].surround(record)
    app.extensions["connections"].append(partial(ControlBodies, control.token))
    app.register_blueprint(_Routes(app, control, record).blueprint())


class _Routes:
    def __init__(self, app: Flask, control: Control, record: RequestRecord) -> None:
        self._control = control
        self._record = record
        self._faults: Faults = app.extensions["faults"]
        self._keeper: Keeper = app.extensions["keeper"]
        self._authenticator = app.extensions["authenticator"]
        self._routes = {
            rule.rule for rule in app.url_map.iter_rules() if not rule.arguments
        }
        self._key_numbers = count(1)
        self._key_names: set[str] = set()

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("control", __name__, url_prefix=CONTROL_PREFIX)
        blueprint.before_request(self.require_token)
        for method, rule, view in (
            ("PUT", "data", self.replace_data),
            ("POST", "data", self.add_data),
            ("DELETE", "data", self.empty_data),
            ("POST", "api-keys", self.create_api_key),
            ("DELETE", "api-keys/<name>", self.revoke_api_key),
            ("POST", "tokens", self.create_token),
            ("GET", "requests", self.list_requests),
            ("DELETE", "requests", self.forget_requests),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.add_fault),
            ("DELETE", "faults", self.take_back_faults),
            ("DELETE", "faults/<int:number>", self.take_back_fault),
            ("DELETE", "all", self.reset),
        ):
            blueprint.add_url_rule(
                rule, view.__name__, view, methods=[method], strict_slashes=True
            )
        return blueprint

    def require_token(self) -> None:
        """Let those pass who are on this machine and have the token."""
        request.max_content_length = MOST_BYTES
        guard(request.environ, self._control.token)

    def replace_data(self) -> Response:
        """Load a document into an emptied database: usage and all is fresh."""
        return _json(self._load(request.get_data(), empty=True))

    def add_data(self) -> Response:
        """Load a document into what is there, as `load` does."""
        return _json(self._load(request.get_data(), empty=False))

    def empty_data(self) -> Response:
        """Empty the database."""
        return _json(self._load(EMPTY, empty=True))

    def create_api_key(self) -> Response:
        """Make a management API key and answer it."""
        body = _loaded(ApiKeyBodySchema())
        name = body.get("name") or f"control-{next(self._key_numbers)}"
        seconds = body.get("expires_in")
        lifetime = None if seconds is None else timedelta(seconds=seconds)
        try:
            key = api_keys.create_api_key(self._control.access_database, name, lifetime)
        except api_keys.ApiKeyError as problem:
            raise ApiError(409, "conflict", f"{problem}.", "name") from None
        self._key_names.add(name)
        return _json({"name": name, "api_key": key}, HTTPStatus.CREATED)

    def revoke_api_key(self, name: str) -> Response:
        """Revoke a management API key that was made here."""
        if name not in self._key_names:
            message = "No API key of that name was made here, or it is revoked already."
            raise ApiError(404, "not_found", message)
        self._revoke(name)
        return _nothing()

    def create_token(self) -> Response:
        """Make an admin's JWT, or that of a virtual key, and answer it."""
        body = _loaded(TokenBodySchema())
        seconds = body.get("expires_in")
        seconds = TOKEN_SECONDS if seconds is None else seconds
        virtual_key_id = body.get("virtual_key_id")
        role = "virtual_key" if virtual_key_id else "admin"
        secret = self._control.jwt_secret
        token = tokens.make_token(secret, role, virtual_key_id or "admin", seconds)
        return _json({"role": role, "token": token}, HTTPStatus.CREATED)

    def list_requests(self) -> Response:
        """Return the last requests, oldest first."""
        found = self._record.all()
        return _json({"requests": found, "count": len(found)})

    def forget_requests(self) -> Response:
        self._record.clear()
        return _nothing()

    def list_faults(self) -> Response:
        """Return the faults that there are, oldest first."""
        shown = [_shown(fault) for fault in self._faults.all()]
        return _json({"faults": shown, "count": len(shown)})

    def add_fault(self) -> Response:
        """Let something go wrong from the next request on."""
        body = _loaded(FaultBodySchema())
        route = body.get("route")
        if route is not None and route not in self._routes:
            known = ", ".join(sorted(self._routes))
            message = f"The parameter route must be one of {known}."
            raise ApiError(400, "invalid_parameter", message, "route")
        kind = next(kind for kind in KINDS if kind in body)
        value = self._value(kind, body[kind])
        fault = Fault(kind, value, route, body.get("times"))
        self._faults.add(fault)
        return _json(_shown(fault), HTTPStatus.CREATED)

    def take_back_faults(self) -> Response:
        self._faults.clear()
        return _nothing()

    def take_back_fault(self, number: int) -> Response:
        if not self._faults.take_back(number):
            message = "There is no such fault, or it is over."
            raise ApiError(404, "not_found", message)
        return _nothing()

    def reset(self) -> Response:
        """Begin anew: no data, no faults, no requests, none of the keys made here."""
        self._faults.clear()
        for name in sorted(self._key_names):
            self._revoke(name)
        if self._control.load is not None:
            self._load(EMPTY, empty=True)
        self._record.clear()
        return _nothing()

    def _load(self, document: bytes, *, empty: bool) -> dict[str, Any]:
        if self._control.load is None:
            raise ApiError(409, "conflict", NOT_OURS)
        loaded = self._control.load(document, empty)
        self._keeper.current()  # what both modes answer from now on
        return loaded

    def _revoke(self, name: str) -> None:
        api_keys.revoke_api_key(self._control.access_database, name)
        self._key_names.discard(name)

    def _value(self, kind: str, value: Any) -> Any:
        if kind not in ("stale", "unavailable"):
            return value
        source = (
            Stale(self._keeper)
            if kind == "stale"
            else Gone(self._keeper, self._control.database)
        )
        return Instead(source, Lists(self._authenticator, source))


def _loaded(schema: Schema) -> dict[str, Any]:
    """Return a request's body by a schema; none is an empty one. Raises ApiError."""
    try:
        loaded: dict[str, Any] = schema.load(orjson.loads(request.get_data() or EMPTY))
    except orjson.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        message = f"The body is not JSON: {problem.msg}, {place}."
        raise ApiError(400, "bad_request", message) from None
    except ValidationError as invalid:
        name, words = next(iter(invalid.messages_dict.items()))
        param = "" if name == "_schema" else str(name)
        message = f"The parameter {param or 'body'}: {words[0]}"
        raise ApiError(400, "invalid_parameter", message, param) from None
    return loaded


def _shown(fault: Fault) -> dict[str, Any]:
    value = True if isinstance(fault.value, Instead) else fault.value
    shown = {"id": fault.number, fault.kind: value}
    return shown | {"route": fault.route, "times": fault.left}


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")


def _nothing() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT)
