"""The log: one line a request, and no token in any line whatever it came from.

And the request ids, which stand in these lines.
"""

import logging
import re
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from time import gmtime, monotonic
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from callers.authenticator import Caller
from web.log_stream import CarefulStream, LogStream

_logger = logging.getLogger("governance")  # of all our lines
log = logging.getLogger("governance.access")

TELLING_LENGTH = 16  # a shorter request id may be in a credential by chance

# Our prefixes, and what has the three parts of a JWT, whatever its first letters are.
# No part of a word is tried twice: a request may bring words of any length.
_TOKEN = re.compile(
    r"(?i:(bfst-|sk-bf-))[^\s\"'/?&,;]*+"
    r"|(?<![\w-])[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+"
    r"|\b(eyJ)[^\s\"'/?&,;]*+",
    re.ASCII,
)
_KNOWN_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+=-]{1,128}", re.ASCII)
# Of other parameters only the names are shown: their values may be anything.
_SHOWN_PARAMETERS = {"customer_id", "from_memory", "limit", "offset", "search"}
SHOWN_LENGTH = 300  # characters of a path, and of a query
READ_LENGTH = 2000  # so many of a long one are looked through for tokens
MOST_ENCODED = 4
UTF_8 = ("utf-8", "replace")
_TELLING_HEADERS = (
    "HTTP_AUTHORIZATION",
    "HTTP_X_API_KEY",
    "HTTP_X_BF_VK",
    "HTTP_COOKIE",
)


def hide_tokens(line: str) -> str:
    """The line with whatever begins like a token cut after its prefix."""
    return _TOKEN.sub(lambda token: f"{token[1] or token[2] or ''}***", line)


class TokenHidingFormatter(logging.Formatter):
    converter = staticmethod(gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return hide_tokens(super().format(record))


_handler = logging.StreamHandler(sys.stderr)
_handler.setFormatter(
    TokenHidingFormatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
)


def set_up_logging() -> None:
    """Send our lines to standard error, once a process."""
    if _logger.handlers:
        return
    _logger.addHandler(_handler)
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
    # The development server's own request lines hold the query, tokens and all.
    logging.getLogger("werkzeug").addFilter(lambda record: '" %s %s' not in record.msg)


def use_stream(stream: LogStream | CarefulStream) -> None:
    """Send our lines there from now on, and those of the server's own logger."""
    _handler.setStream(stream)
    server = logging.getLogger("_granian")
    server.handlers = [_handler]
    server.propagate = False


def log_request(
    environ: Mapping[str, Any],
    status: int | str,
    size: int | str | None,
    began: float,
    request_id: str,
    caller: Caller | None,
) -> None:
    """Write a request's line; `began` is by monotonic.

    In the form of our other lines, without the records of `logging`: making one takes
    longer than making an answer.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    took = (monotonic() - began) * 1000
    line = (
        f"{method if method in _KNOWN_METHODS else 'OTHER'}"
        f" {_short(_shown_path, environ['PATH_INFO'])}"
        f"{_short(_shown_query, query) if query else ''}"
        f" {status} {'-' if size is None else size} {took:.2f}ms {request_id}"
        f" {environ.get('REMOTE_ADDR') or '-'}"
        f" {_shown_caller(caller) if caller else '-'}"
    )
    if _handler not in _logger.handlers or _handler.stream is None:
        log.info("%s", line)  # somebody else handles our lines
        return
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    with suppress(OSError, ValueError):  # where it cannot be told, it still is answered
        _handler.stream.write(f"{now}Z INFO {line}\n")
        _handler.stream.flush()


def sane_request_id(environ: Mapping[str, Any]) -> str:
    """The id that a request brings, if it is sane, else one of our own.

    Who sends a credential there too shall not have it echoed, nor a part that tells.
    """
    given: str = environ.get("HTTP_X_REQUEST_ID", "")
    if given and _REQUEST_ID.fullmatch(given) and _without_tokens(given) == given:
        sent = [environ[name] for name in _TELLING_HEADERS if name in environ]
        if not any(_tells(given, credential) for credential in sent):
            return given
    return secrets.token_hex(16)


def _tells(request_id: str, credential: str) -> bool:
    """Whether a request id holds a credential, or a long part of it, or is one."""
    if request_id in credential.split():
        return True
    if len(request_id) >= TELLING_LENGTH and request_id in credential:
        return True
    parts = re.split(r"[^A-Za-z0-9]+", credential)
    return any(len(part) >= TELLING_LENGTH and part in request_id for part in parts)


def _short(show: Any, text: str) -> str:
    """Return a part of a line, cut if it is long, and only remembered if it is not."""
    if len(text) <= SHOWN_LENGTH:
        shown: str = show(text)
        return shown
    return f"{show.__wrapped__(text[:READ_LENGTH])[:SHOWN_LENGTH]}..."


@lru_cache(256)
def _shown_path(path: str) -> str:
    return quote(_without_tokens(path.encode("latin-1", "replace").decode(*UTF_8)))


def _without_tokens(text: str) -> str:
    """Return text without tokens, even encoded ones, or such with blanks in them."""
    bare, before = "".join(text.split()), ""
    for _ in range(MOST_ENCODED):
        bare, before = "".join(unquote(bare).split()), bare
        if bare == before:
            break
    hidden = hide_tokens(bare)
    return hide_tokens(text) if hidden == bare else hidden


@lru_cache(256)
def _shown_query(query: str) -> str:
    if len(query) > SHOWN_LENGTH:
        return "?"  # taking it apart would take its time
    shown = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        value = _without_tokens(value) if name in _SHOWN_PARAMETERS else "***"
        shown.append(f"{quote(_without_tokens(name), '*')}={quote(value, '*')}")
    return f"?{'&'.join(shown)}"


@lru_cache(256)
def _shown_caller(caller: Caller) -> str:
    kind = caller.kind.replace(" ", "-")
    return f"{kind}:{quote(caller.name)}" if caller.name else kind
