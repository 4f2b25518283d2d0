"""What the service is compared with: its own ceiling, nginx, and a naive view.

Run as `python -m benchmarks.rivals ceiling|nginx|naive PORT`, in the repository. What
the first two answer are the files in the folder that the environment variable CONSTANTS
names; the ceiling has as many threads as THREADS says.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask, Response, jsonify, request
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from models import MODELS, REQUIRED
from schemas import CustomersAnswerSchema, EntitySchema, TeamsAnswerSchema
from snapshot.entities import EntityDumper
from store.relations import Index
from store.sqlite import Reader

EMPTY = "empty"  # the file whose answer is a 304
# With more, threads hand Python's lock to each other: see README.md.
CEILING_THREADS = 2
NAIVE_THREADS = 128
NGINX = shutil.which("nginx")
NGINX_SETTINGS = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {constants}; }}
}}
"""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]


def make_ceiling(folder: Path) -> Wsgi:
    """Return a bare WSGI application that answers the same bytes from constants."""
    answers = {f"/{file.name}": _constant(file) for file in folder.iterdir()}
    missing: Constant = ("404 Not Found", [], [])

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        status, headers, body = answers.get(environ["PATH_INFO"], missing)
        start_response(status, headers)
        return body

    return answer


Constant = tuple[str, list[tuple[str, str]], list[bytes]]


def _constant(file: Path) -> Constant:
    if file.name == EMPTY:
        return "304 Not Modified", [("ETag", '"empty"')], []
    text = file.read_bytes()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
    if file.suffix == ".gz":
        headers.append(("Content-Encoding", "gzip"))
    return "200 OK", headers, [text]


def run_nginx(folder: Path, port: int) -> NoReturn:
    """Become an nginx with one worker that serves the same bytes from files."""
    place = folder.with_name("nginx")
    place.mkdir(exist_ok=True)
    settings = place / "nginx.conf"
    text = NGINX_SETTINGS.format(folder=place, constants=folder, port=port)
    if os.geteuid() == 0:
        text += "user root;"  # it would give up the right to read the folder
    settings.write_text(text)
    os.execv(str(NGINX), [str(NGINX), "-c", str(settings), "-p", str(place)])


def make_naive(database: Path) -> Flask:
    """A view that reads peewee objects, dumps them with the schemas, and jsonifies.

    It reads each table with one query, for a page too: with a query for each thing
    that a thing refers to, even a page would take thousands.
    """
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.get("/api/governance/teams")
    def list_teams() -> Response:
        objects = _read(database)
        index, rows = objects.index, objects.index.teams
        if customer_id := request.args.get("customer_id"):
            rows = index.teams_of.get(customer_id, [])
        page = rows[: request.args.get("limit", type=int)]
        teams = [_team(objects, row, _customer_of(objects, row)) for row in page]
        answer = {"teams": teams, "count": len(teams)}
        return jsonify(TeamsAnswerSchema().dump(answer))

    @app.get("/api/governance/customers")
    def list_customers() -> Response:
        objects = _read(database)
        page = objects.index.customers[: request.args.get("limit", type=int)]
        customers = [_customer(objects, row) for row in page]
        answer = {"customers": customers, "count": len(customers)}
        return jsonify(CustomersAnswerSchema().dump(answer))

    return app


_MODEL_OF = {model._meta.table_name: model for model in MODELS}


class PeeweeObjects(EntityDumper):
    """Entities as peewee objects."""

    def entity(self, schema: type[EntitySchema], row: Any, **members: Any) -> Any:
        made = _MODEL_OF[schema.table](**row._asdict())
        for name, value in members.items():
            setattr(made, name, value)
        return made


def _read(database: Path) -> PeeweeObjects:
    reader = Reader(database, MODELS, REQUIRED)
    try:
        return PeeweeObjects(Index(reader.read()))
    finally:
        reader.close()


def _team(objects: PeeweeObjects, row: Any, customer: Any) -> Any:
    keys = objects.index.virtual_keys_of_team.get(row.id, [])
    return objects.team(row, customer, _virtual_keys(objects, keys))


def _customer(objects: PeeweeObjects, row: Any) -> Any:
    teams = [
        _team(objects, team, {}) for team in objects.index.teams_of.get(row.id, [])
    ]
    keys = objects.index.virtual_keys_of_customer.get(row.id, [])
    return objects.customer(row, teams, _virtual_keys(objects, keys))


def _virtual_keys(objects: PeeweeObjects, rows: list[Any]) -> list[Any]:
    return [objects.virtual_key(row, row.value) for row in rows]


def _customer_of(objects: PeeweeObjects, team: Any) -> Any:
    row = objects.index.customer.get(team.customer_id)
    return None if row is None else _customer(objects, row)


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "naive":
        serve(make_naive(Path(os.environ["GOVERNANCE_DATABASE"])), port, NAIVE_THREADS)
        return
    constants = Path(os.environ["CONSTANTS"])
    if kind == "nginx":
        run_nginx(constants, port)
    threads = int(os.environ.get("THREADS", CEILING_THREADS))
    serve(make_ceiling(constants), port, threads)


def serve(app: Any, port: int, threads: int) -> None:
    """Serve a WSGI application by granian alone."""
    Server(
        "rivals",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=threads,
        http=HTTPModes.http1,
        log_level=LogLevels.error,
    ).serve(target_loader=lambda: app, wrap_loader=False)


if __name__ == "__main__":
    main()
