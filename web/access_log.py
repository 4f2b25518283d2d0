"""The log: one line a request, and no token in any line whatever it came from.

And the request ids, which stand in these lines.
"""

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from random import getrandbits
from time import gmtime, monotonic, strftime, time
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from callers.authenticator import Caller
from web.serving.log_stream import CarefulStream, LogStream

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
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
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
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", TIME_FORMAT
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
    took = (monotonic() - began) * 1000
    method = environ["REQUEST_METHOD"]
    line = (
        f"{method if method in _KNOWN_METHODS else 'OTHER'}"
        f" {_shown_target(environ['PATH_INFO'], environ.get('QUERY_STRING', ''))}"
        f" {status} {'-' if size is None else size} {took:.2f}ms {request_id}"
        f" {environ.get('REMOTE_ADDR') or '-'} {caller.shown if caller else '-'}"
    )
    stream = _handler.stream
    if _handler not in _logger.handlers or stream is None:
        log.info("%s", line)  # somebody else handles our lines
        return
    try:
        stream.write(f"{_time_text(int(time() * 1000))} INFO {line}\n")
        stream.flush()
    except (OSError, ValueError):
        pass  # where it cannot be logged, it still is answered


def logged_target(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Return a request's path and its query, as its line in the log has them."""
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    shown_path, _, shown_query = _shown_target(path, query).partition("?")
    return shown_path, shown_query


def sane_request_id(environ: Mapping[str, Any]) -> str:
    """Return the id that a request brings, if it is sane, else a new one.

    Who sends a credential there too shall not have it echoed, nor a part that tells.
    """
    given: str = environ.get("HTTP_X_REQUEST_ID", "")
    if given and _REQUEST_ID.fullmatch(given) and _without_tokens(given) == given:
        sent = [environ[name] for name in _TELLING_HEADERS if name in environ]
        if not any(_tells(given, credential) for credential in sent):
            return given
    return f"{getrandbits(128):032x}"  # nobody has to be kept from guessing it


def _tells(request_id: str, credential: str) -> bool:
    """Return True if a request id is a credential, or holds a long part of one."""
    if request_id in credential.split():
        return True
    if len(request_id) >= TELLING_LENGTH and request_id in credential:
        return True
    parts = re.split(r"[^A-Za-z0-9]+", credential)
    return any(len(part) >= TELLING_LENGTH and part in request_id for part in parts)


def _shown_target(path: str, query: str) -> str:
    """Return a path and a query as they are logged; only short ones are remembered."""
    if len(path) <= SHOWN_LENGTH and len(query) <= SHOWN_LENGTH:
        return _remembered_target(path, query)
    shown_path = _shown_path(path[:READ_LENGTH])
    if len(path) > SHOWN_LENGTH:
        shown_path = f"{shown_path[:SHOWN_LENGTH]}..."
    # Taking a long query apart would take its time.
    shown_query = "?..." if len(query) > SHOWN_LENGTH else _shown_query(query)
    return shown_path + shown_query


@lru_cache(256)
def _remembered_target(path: str, query: str) -> str:
    return _shown_path(path) + _shown_query(query)


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


def _shown_query(query: str) -> str:
    if not query:
        return ""
    shown = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        value = _without_tokens(value) if name in _SHOWN_PARAMETERS else "***"
        shown.append(f"{quote(_without_tokens(name), '*')}={quote(value, '*')}")
    return f"?{'&'.join(shown)}"


@lru_cache(2)  # many requests come in the same millisecond
def _time_text(milliseconds: int) -> str:
    """Return a Unix time as the formatter of our other lines writes it."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second_text(seconds)}.{rest:03}Z"


@lru_cache(2)
def _second_text(seconds: int) -> str:
    return strftime(TIME_FORMAT, gmtime(seconds))
