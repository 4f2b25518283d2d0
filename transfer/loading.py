"""Load files of several kinds into our own database, all of it or nothing."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from addresses import Address, PostgresUrl
from models import (
    MODELS,
    REQUIRED,
    McpClient,
    Model,
    ModelConfig,
    Provider,
    ProviderKey,
    row_type,
)
from store.encryption import Encryption
from store.failures import DatabaseUnavailable
from store.own import LASTING, Pragmas, writing
from store.own_tables import Tables
from store.readers import read_once
from store.rows import Rows
from transfer.batch import Batch
from transfer.linking import link
from transfer.merging import Merge
from transfer.read_answers import Recorded, is_captured
from transfer.read_config import add_config, is_config, listed
from transfer.read_database import add_rows
from transfer.sources import opened

_VERSION = re.compile(r"v?\d+\.\d+")  # what gateways answer to GET /api/version
_NOT_EVERYWHERE: dict[str, tuple[Model, ...]] = {
    "providers": (Provider, ProviderKey),
    "mcp_clients": (McpClient,),
    "model_configs": (ModelConfig,),
}


class LoadError(Exception):
    """The files cannot be loaded; `problems` has a line for each place, and `notes`
    one for each kind of name that is not known: it may be why.
    """

    def __init__(self, problems: list[str], notes: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.notes = notes


@dataclass(frozen=True)
class Loaded:
    """Counts of the rows added, changed and removed; notes on what was loaded."""

    counts: dict[str, int]
    notes: list[str]


def load_files(
    paths: Iterable[Address],
    database: Address,
    *,
    replace: bool = False,
    strict: bool = False,
    encryption: Encryption | None = None,
) -> Loaded:
    """Load files into our own database; each may be a gateway's `config.json`, what a
    gateway answered, or a gateway's database. `-` is standard input.

    With `replace`, what is not in the files goes; `strict` takes nothing of which a
    part would be passed over. Raises LoadError and NotOurs, and then nothing has
    changed.
    """
    batches = read_files(paths, encryption)
    return load_batches(
        batches, database, replace=replace, strict=strict, encryption=encryption
    )


def load_documents(
    documents: Iterable[tuple[str, Any]],
    database: Address,
    *,
    replace: bool = False,
    encryption: Encryption | None = None,
) -> Loaded:
    """Load parsed answers, each with the name of its source; see load_files.

    With `replace`, providers, MCP clients and model configs only go where there was a
    list of them: a gateway without such a list does not say that there are none. What
    else a gateway knows of a thing is nobody's mistake, so it is not noted.
    """
    batches = _Batches()
    for source, document in documents:
        batches.add(document, source, pulled=True)
    batches.recorded.unknown.clear()
    unlisted = [
        model
        for name, models in _NOT_EVERYWHERE.items()
        for model in models
        if name not in batches.answers.listed
    ]
    return load_batches(
        batches.finish(),
        database,
        replace=replace,
        keep=unlisted,
        encryption=encryption,
    )


def load_document(
    document: Any,
    source: str,
    database: Address,
    *,
    fresh: bool = False,
    encryption: Encryption | None = None,
    pragmas: Pragmas = LASTING,
) -> Loaded:
    """Load one parsed document of any kind that files may have; see load_files.

    With `fresh` nothing stays of what was there, not even usage, times or what was
    generated: it is as though the database had been empty. `pragmas`: see store.own.
    """
    batches = _Batches(encryption)
    batches.add(document, source)
    finished = batches.finish()
    with writing(database, encryption, pragmas) as tables:
        old = tables.read()
        base: Tables = {model: {} for model in old} if fresh else old
        counts = tables.change(old, merge(finished, base, base))
    return Loaded(counts, [note for batch in finished for note in _notes(batch)])


def read_files(
    paths: Iterable[Address], encryption: Encryption | None = None
) -> list[Batch]:
    """Return what the files hold, checked each for itself."""
    batches = _Batches(encryption)
    for path in paths:
        try:
            batches.add_source(path)
        except OSError as problem:
            batches.unreadable(f"{path}: cannot be read: {problem.strerror}")
        except DatabaseUnavailable as problem:
            batches.unreadable(f"{path}: {problem.reason}")
        except orjson.JSONDecodeError as problem:
            place = f"{path}: line {problem.lineno}, column {problem.colno}"
            batches.unreadable(f"{place}: is not JSON: {problem.msg}")
    return batches.finish()


def load_batches(
    batches: list[Batch],
    database: Address,
    *,
    replace: bool,
    strict: bool = False,
    keep: Iterable[Model] = (),
    encryption: Encryption | None = None,
) -> Loaded:
    """Load what was read; see load_files. What to `keep` does not go with the rest."""
    with writing(database, encryption) as tables:
        old = tables.read()
        base: Tables = {model: {} for model in old} if replace else old
        base = base | {model: old[model] for model in keep}
        new = merge(batches, old, base, replace=replace, strict=strict)
        counts = tables.change(old, new)
    return Loaded(counts, [note for batch in batches for note in _notes(batch)])


def _notes(batch: Batch) -> list[str]:
    return [*batch.all_passed_over(), *dict.fromkeys(batch.notes)]


def merge(
    batches: list[Batch],
    old: Tables,
    base: Tables,
    *,
    replace: bool = False,
    strict: bool = False,
) -> Tables:
    """Return the rows that batches put into a base come to; raises LoadError."""
    new = base
    problems: list[str] = []
    passed_over: list[str] = []
    for batch in batches:
        merged = Merge(old, new, batch, replace)
        link(merged)
        new = merged.new
        problems += batch.problems
        passed_over += batch.all_passed_over()
    if strict:
        problems += passed_over
    if problems:
        raise LoadError(problems, () if strict else passed_over)
    return new


def check_files(
    paths: Iterable[Address], encryption: Encryption | None = None
) -> tuple[Rows, list[str]]:
    """Return the rows that files would load, and what is wrong with them.

    Raises LoadError where a file cannot be read.
    """
    batches = read_files(paths, encryption)
    unreadable = [line for batch in batches for line in batch.unreadable]
    if unreadable:
        raise LoadError(unreadable)
    tables: Tables = {model: {} for model in MODELS}
    wrong: list[str] = []
    for batch in batches:
        merged = Merge(tables, tables, batch, replace=False)
        link(merged)
        tables = merged.new
        wrong += [*batch.problems, *_notes(batch)]
    rows = {
        model: [row_type(model)(**row) for row in table.values()]
        for model, table in tables.items()
    }
    return rows, wrong


class _Batches:
    """Two batches: of descriptions, and of records of what a gateway holds."""

    def __init__(self, encryption: Encryption | None = None) -> None:
        self.described = Batch()
        self.recorded = Batch(record=True)
        self.answers = Recorded(self.recorded)
        self.encryption = encryption or Encryption()

    def add(self, document: Any, source: str, *, pulled: bool = False) -> None:
        if document and isinstance(document, list):
            document = listed(document)
        if isinstance(document, str) and _VERSION.match(document):
            self.recorded.notes.append(f"{source}: is a gateway's version, no more")
        elif is_captured(document, pulled):
            self.answers.add(document, source)
        elif document == {} or is_config(document):
            add_config(self.described, document, source)
        else:
            self.unreadable(
                f"{source}: is neither a gateway's config.json nor one of its answers"
            )

    def add_source(self, path: Address) -> None:
        """Add a file or a database. Raises OSError, DatabaseUnavailable and
        JSONDecodeError.
        """
        if isinstance(path, PostgresUrl):
            self.add_database(path, str(path))
            return
        with opened(path) as source:
            if source.is_database:
                with source.database() as database:
                    self.add_database(database, str(path))
            else:
                self.add(source.parsed(), str(path))

    def add_database(self, database: Address, source: str) -> None:
        rows = read_once(database, MODELS, REQUIRED, self.encryption)
        add_rows(self.recorded, rows, source)
        if closed := self.encryption.closed:
            self.recorded.notes.append(
                f"{source}: {closed} rows are encrypted, and what is encrypted in them"
                " is left out: GOVERNANCE_ENCRYPTION_KEY does not open it"
            )

    def unreadable(self, problem: str) -> None:
        self.described.unreadable.append(problem)
        self.described.problems.append(problem)

    def finish(self) -> list[Batch]:
        self.answers.finish()
        return [batch for batch in (self.recorded, self.described) if _says(batch)]


def _says(batch: Batch) -> bool:
    return bool(batch.items or batch.problems or batch.notes or batch.unknown)
