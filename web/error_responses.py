"""The documented body of errors, and the errors that exceptions become."""

import logging
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from errors import ApiError
from schemas import ErrorSchema
from store.failures import DatabaseUnavailable

log = logging.getLogger("governance")

RETRY_AFTER_SECONDS = 2


def register_error_handlers(app: Flask) -> None:
    """Answer everything that goes wrong with the documented body."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DatabaseUnavailable, _database_unavailable)
    app.register_error_handler(Exception, _unforeseen)


def error_body(error: ApiError, request_id: str) -> bytes:
    """Return the documented body of an error."""
    body: dict[str, Any] = {
        "event_id": request_id,
        "status_code": error.status,
        "error": {
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "event_id": request_id,
        },
        "extra_fields": {},
    }
    return orjson.dumps(ErrorSchema().dump(body))


def error_headers(status: int) -> list[tuple[str, str]]:
    """Return the headers that errors of some statuses have."""
    if status == 401:
        return [("WWW-Authenticate", "Bearer")]
    return [("Retry-After", str(RETRY_AFTER_SECONDS))] if status == 503 else []


def _api_error(error: ApiError) -> Response:
    response = _respond(error)
    response.headers.extend(error_headers(error.status))
    return response


def _http_error(error: HTTPException) -> Response:
    # Nothing of the request is quoted: a path or a method can hold a token.
    if isinstance(error, NotFound):
        return _respond(ApiError(404, "not_found", "There is nothing at this path."))
    if isinstance(error, MethodNotAllowed):
        message = "This path does not take this method; Allow names those it takes."
        response = _respond(ApiError(405, "method_not_allowed", message))
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    status = error.code or 500
    name = "_".join(error.name.lower().split())
    return _respond(ApiError(status, name, f"{error.name}."))


def _database_unavailable(error: DatabaseUnavailable) -> Response:
    # Before there is a caller, it is the API keys' file, which both modes need.
    advice = "; from_memory=true may still answer" if "caller" in g else ""
    message = f"The database {error.reason}{advice}."
    return _api_error(ApiError(503, "database_unavailable", message))


def _unforeseen(error: Exception) -> Response:
    log.error("request %s failed", g.request_id, exc_info=error)
    message = "Something unforeseen went wrong; the log has more under this event_id."
    return _respond(ApiError(500, "internal_error", message))


def _respond(error: ApiError) -> Response:
    body = error_body(error, g.request_id)
    return Response(body, error.status, mimetype="application/json")
