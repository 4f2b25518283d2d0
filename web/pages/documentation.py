"""/openapi.json, and /docs: Swagger UI, with files of a package, from this server only.

Both hold no data, and may be read by anyone.
"""

from functools import cache
from importlib.resources import files

import orjson
from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound

documentation = Blueprint("documentation", __name__)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Governance lists: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<main id="api"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
"""
FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


@documentation.get("/openapi.json")
def show_document() -> Response:
    """Return this description of the API."""
    made = current_app.extensions.get("openapi")
    if made is None:
        from web.pages.openapi import document  # others do without apispec

        app = current_app._get_current_object()  # type: ignore[attr-defined]
        made = app.extensions["openapi"] = orjson.dumps(document(app))
    return _unchanging(made, "application/json")


@documentation.get("/docs")
def show_docs() -> Response:
    """Return the page that shows this description, and tries it out."""
    response = _unchanging(PAGE.encode(), "text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


@documentation.get("/docs/<name>")
def show_file(name: str) -> Response:
    """Return a file of that page."""
    if name == "start.js":
        return _unchanging(START.encode(), "text/javascript")
    if name not in FILES:
        raise NotFound
    return _unchanging(_file(name), FILES[name])


def _unchanging(body: bytes, mimetype: str) -> Response:
    response = Response(body, mimetype=mimetype)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _file(name: str) -> bytes:
    return files("flask_swagger_ui").joinpath("dist", name).read_bytes()
