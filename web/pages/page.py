"""The page for people at `/`. It holds no data: its script asks for a key, and reads
the lists with it."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Response, request

pages = Blueprint("pages", __name__)

PAGE = Path(__file__).with_name("page.html")


@pages.get("/")
def show_page() -> Response:
    """The page, which anyone may read."""
    html, policy = _page()
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(sha256(html).hexdigest()[:32])
    response.make_conditional(request)
    return response


@cache
def _page() -> tuple[bytes, str]:
    """The file, read when it is first asked for, and its Content-Security-Policy."""
    html = PAGE.read_bytes()
    policy = {
        "default-src": "'none'",
        "script-src": _hash_of("script", html),
        "style-src": _hash_of("style", html),
        "img-src": "data:",  # its icon
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # No text becomes HTML: the browser refuses innerHTML and its like.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return html, "; ".join(f"{name} {value}" for name, value in policy.items())


def _hash_of(element: str, html: bytes) -> str:
    """What allows the one element of this name that is in the file, and no other."""
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % ((element.encode(),) * 2), html, re.S)
    return f"'sha256-{b64encode(sha256(content).digest()).decode()}'"
