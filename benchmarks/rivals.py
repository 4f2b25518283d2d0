"""What the service is compared with: its own ceiling, and what one would write first.

Run as `python -m benchmarks.rivals ceiling|naive PORT`, in the repository. What the
ceiling answers are the files in a folder that the environment variable CONSTANTS names.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from database import Reader
from index import Index
from models import MODELS, REQUIRED
from schemas import CustomersAnswerSchema, EntitySchema, TeamsAnswerSchema
from tree import Tree

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
        tree = _read(database)
        index, rows = tree.index, tree.index.teams
        if customer_id := request.args.get("customer_id"):
            rows = index.teams_of.get(customer_id, [])
        page = rows[: request.args.get("limit", type=int)]
        teams = [_team(tree, row, _customer_of(tree, row)) for row in page]
        answer = {"teams": teams, "count": len(teams)}
        return jsonify(TeamsAnswerSchema().dump(answer))

    @app.get("/api/governance/customers")
    def list_customers() -> Response:
        tree = _read(database)
        page = tree.index.customers[: request.args.get("limit", type=int)]
        customers = [_customer(tree, row) for row in page]
        answer = {"customers": customers, "count": len(customers)}
        return jsonify(CustomersAnswerSchema().dump(answer))

    return app


_MODEL_OF = {model._meta.table_name: model for model in MODELS}


class PeeweeObjects:
    """A builder (see tree.py) whose entities are peewee objects."""

    def one(self, schema: type[EntitySchema], row: Any, **beside: Any) -> Any:
        entity = _MODEL_OF[schema.table](**row._asdict())
        for name, value in beside.items():
            setattr(entity, name, value)
        return entity

    def many(self, entities: Iterable[Any]) -> list[Any]:
        return list(entities)


def _read(database: Path) -> Tree:
    reader = Reader(database, MODELS, REQUIRED)
    try:
        return Tree(Index(reader.read()), PeeweeObjects(), masked=False)
    finally:
        reader.close()


def _team(tree: Tree, row: Any, customer: Any) -> Any:
    keys = tree.index.virtual_keys_of_team.get(row.id, [])
    return tree.team(row, customer, [tree.virtual_key(key) for key in keys])


def _customer(tree: Tree, row: Any) -> Any:
    teams = [_team(tree, team, {}) for team in tree.index.teams_of.get(row.id, [])]
    keys = tree.index.virtual_keys_of_customer.get(row.id, [])
    return tree.customer(row, teams, [tree.virtual_key(key) for key in keys])


def _customer_of(tree: Tree, team: Any) -> Any:
    row = tree.index.customer.get(team.customer_id)
    return None if row is None else _customer(tree, row)


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
