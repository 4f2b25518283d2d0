"""The check that clients of the control routes are local and have the token."""

import secrets

from callers.authenticator import is_local
from errors import ApiError, InvalidCredentials, MissingCredentials
from web.short_cut import Environ

CONTROL_PREFIX = "/_control/"  # no fault touches what is there, and no record shows it


def guard(environ: Environ, token: str) -> None:
    """Raise ApiError unless a request may use the control routes."""
    if not is_local(environ.get("REMOTE_ADDR", "")):
        raise ApiError(404, "not_found", "There is nothing at this path.")
    scheme, _, sent = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not sent:
        raise MissingCredentials(
            "Send Authorization: Bearer and the control_token of the ready line."
        )
    if not secrets.compare_digest(sent.strip().encode("utf-8"), token.encode()):
        raise InvalidCredentials("The control token is not the right one.")
