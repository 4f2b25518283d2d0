"""The control routes of `serve --control` and the data that they work on."""

import logging
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from flask import Flask

from errors import ApiError
from settings import Settings
from store.encryption import Encryption
from store.locations import MAGIC

log = logging.getLogger("governance")

SHOWN_PROBLEMS = 20
NAME = "data"  # what problems call the document


def add_faults(app: Flask, *, by_header: bool) -> None:
    """Let answers fail on purpose; `by_header` lets requests ask for it themselves."""
    from web.control.faults import Faults
    from web.control.faulty_connections import FaultyConnections

    faults = app.extensions["faults"] = Faults(by_header=by_header)
    app.extensions["entrance"].surround(faults)
    app.extensions["connections"].append(partial(FaultyConnections, faults))


def make_empty(database: Path) -> None:
    """Make a database of ours with nothing in it."""
    from store.own import FLEETING
    from transfer.loading import load_document

    load_document({}, NAME, database, pragmas=FLEETING)


def add_control(app: Flask, database: Path | None) -> str:
    """Add the control routes to an application that has faults; return their token.

    `database` is ours, to load into; without one the application reads a gateway's.
    """
    from web.control.routes import Control, add_routes

    settings: Settings = app.extensions["settings"]
    loading = None
    if database is not None:
        loading = _Loading(database, app.extensions["encryption"])
    control = Control(
        loading, settings.database, settings.access_database, settings.jwt_secret
    )
    add_routes(app, control)
    return control.token


class _Loading:
    """Loads documents into our database, one after the other."""

    def __init__(self, database: Path, encryption: Encryption) -> None:
        self._database = database
        self._encryption = encryption
        self._turn = threading.Lock()  # a new database is built in one place

    def __call__(self, document: bytes, empty: bool) -> dict[str, Any]:
        from store.own import NotOurs
        from transfer.loading import LoadError

        try:
            with self._turn:
                if document.startswith(MAGIC):
                    loaded = self._load_database(document, empty)
                else:
                    loaded = self._load_json(document, empty)
        except LoadError as wrong:
            raise _wrong([*wrong.problems, *wrong.notes]) from None
        except NotOurs as problem:
            log.error("%s", problem)
            message = "The service's own database cannot be written."
            raise ApiError(503, "database_unavailable", message) from None
        counts: dict[str, Any] = loaded.counts
        return counts | {"notes": loaded.notes if document != b"{}" else []}

    def _load_json(self, document: bytes, empty: bool) -> Any:
        from store.own import FLEETING
        from transfer.loading import load_document

        try:
            parsed = orjson.loads(document)
        except orjson.JSONDecodeError as problem:
            place = f"line {problem.lineno}, column {problem.colno}"
            raise _wrong([f"{NAME}: {place}: is not JSON: {problem.msg}"]) from None
        return load_document(
            parsed,
            NAME,
            self._database,
            fresh=empty,
            encryption=self._encryption,
            pragmas=FLEETING,
        )

    def _load_database(self, document: bytes, empty: bool) -> Any:
        from transfer.loading import LoadError, load_files

        with tempfile.TemporaryDirectory(prefix="governance-") as folder:
            path = Path(folder) / NAME
            path.write_bytes(document)
            try:
                return load_files(
                    [path], self._database, replace=empty, encryption=self._encryption
                )
            except LoadError as wrong:
                named = [line.replace(str(path), NAME) for line in wrong.problems]
                raise LoadError(named) from None


def _wrong(problems: list[str]) -> ApiError:
    more = len(problems) - SHOWN_PROBLEMS
    shown = problems[:SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    return ApiError(400, "invalid_data", "\n".join(shown))
