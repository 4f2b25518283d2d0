"""What the service is compared with: its own ceiling, and what one would write first.

Run as `python -m benchmarks.rivals ceiling|naive PORT`, in the repository. What the
ceiling answers are the files in a folder that the environment variable CONSTANTS names.
"""

import os
import sys
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from models import MODELS, REQUIRED
from schemas import CustomersAnswerSchema, EntitySchema, TeamsAnswerSchema
from snapshot.entities import EntityDumper
from store.relations import Index
from store.sqlite import Reader

BLOCKING_THREADS = 128


def make_ceiling(folder: Path) -> Flask:
    """The same Flask and granian, answering the same bytes from constants."""
    app = Flask(__name__, static_folder=None)
    constants = {file.name: file.read_bytes() for file in folder.iterdir()}

    @app.get("/<name>")
    def answer(name: str) -> Response:
        if name not in constants:
            abort(404)
        response = Response(mimetype="application/json", direct_passthrough=True)
        response.response = [constants[name]]
        response.content_length = len(constants[name])
        if name.endswith(".gz"):
            response.content_encoding = "gzip"
        return response

    return app


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
    if kind == "ceiling":
        app = make_ceiling(Path(os.environ["CONSTANTS"]))
    else:
        app = make_naive(Path(os.environ["GOVERNANCE_DATABASE"]))
    Server(
        "rivals",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=BLOCKING_THREADS,
        http=HTTPModes.http1,
        log_level=LogLevels.error,
    ).serve(target_loader=lambda: app, wrap_loader=False)


if __name__ == "__main__":
    main()
