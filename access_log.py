"""The log: one line a request, and no token in any line whatever it came from."""

import logging
import re
import sys
from functools import lru_cache
from time import gmtime, perf_counter
from urllib.parse import quote

from flask import Flask, Response, g, request

log = logging.getLogger("governance.access")

# Our prefixes, and what has the three parts of a JWT, whatever its first letters are.
_TOKEN = re.compile(
    r"(?i:(bfst-|sk-bf-))[^\s\"'/?&,;]*"
    r"|()[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(eyJ)[^\s\"'/?&,;]*",
    re.ASCII,
)
_KNOWN_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}


def hide_tokens(line: str) -> str:
    """The line with whatever begins like a token cut after its prefix."""
    return _TOKEN.sub(lambda token: f"{token[1] or token[3] or ''}***", line)


class TokenHidingFormatter(logging.Formatter):
    converter = staticmethod(gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        # A request's line holds no token: its path was looked through already.
        return line if record.name == log.name else hide_tokens(line)


def set_up_logging() -> None:
    """Send our lines to standard error, once a process."""
    logger = logging.getLogger("governance")
    if logger.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        TokenHidingFormatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # The development server's own request lines hold the query, tokens and all.
    logging.getLogger("werkzeug").addFilter(lambda record: '" %s %s' not in record.msg)


def register_access_log(app: Flask) -> None:
    """Log each request when its answer is ready to be sent."""

    @app.after_request
    def log_request(response: Response) -> Response:
        caller = g.get("caller")
        size = response.headers.get("Content-Length", "-")
        log.info(
            "%s %s %s %s %.2fms %s %s",
            request.method if request.method in _KNOWN_METHODS else "OTHER",
            _shown(request.path),
            response.status_code,
            size,
            (perf_counter() - g.began) * 1000,
            g.request_id,
            caller.kind.replace(" ", "-") if caller else "-",
        )
        return response


@lru_cache(256)
def _shown(path: str) -> str:
    return hide_tokens(quote(path))
