"""Data in: from files of several kinds to our own database, all of it or nothing."""

import mmap
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from captured import Harvest, is_captured
from config_file import add_config
from database import Reader
from draft import Draft, Model
from failures import DatabaseUnavailable
from merging import Merge
from models import MODELS, REQUIRED, McpClient, Provider, ProviderKey, row_type
from own_database import Tables, read_tables, write_changes, writing
from rows import Rows
from table_rows import add_rows

STANDARD_INPUT = Path("-")
_NOT_EVERYWHERE: dict[str, tuple[Model, ...]] = {
    "provider": (Provider, ProviderKey),
    "mcp_client": (McpClient,),
}


class LoadError(Exception):
    """What is to be loaded is wrong; `problems` has a line for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Loaded:
    """How many rows were added, changed and removed; what is odd in what was loaded."""

    counts: dict[str, int]
    notes: list[str]


def load_files(
    paths: Iterable[Path], database: Path, *, replace: bool = False
) -> Loaded:
    """Load files into our own database; each may be a gateway's `config.json`, what a
    gateway answered, or a gateway's database. `-` is standard input.

    With `replace`, what is not in the files goes. Raises LoadError and NotOurs, and
    then nothing has changed.
    """
    return load_drafts(read_files(paths), database, replace=replace)


def load_documents(
    documents: Iterable[tuple[str, Any]], database: Path, *, replace: bool = False
) -> Loaded:
    """Load parsed documents, each with the name of its source; see load_files.

    With `replace`, providers and MCP clients only go where there was a list of them:
    a gateway without such a list does not say that there are none.
    """
    drafts = _Drafts()
    for source, document in documents:
        drafts.add(document, source)
    untold = [
        model
        for noun, models in _NOT_EVERYWHERE.items()
        for model in models
        if noun not in drafts.harvest.told
    ]
    return load_drafts(drafts.finish(), database, replace=replace, keep=untold)


def read_files(paths: Iterable[Path]) -> list[Draft]:
    """What the files hold, checked each for itself."""
    drafts = _Drafts()
    for path in paths:
        try:
            if _is_database(path):
                drafts.add_database(path)
            else:
                drafts.add(_parse(path), str(path))
        except OSError as problem:
            drafts.unreadable(f"{path}: cannot be read: {problem.strerror}")
        except DatabaseUnavailable as problem:
            drafts.unreadable(f"{path}: {problem.reason}")
        except orjson.JSONDecodeError as problem:
            place = f"{path}: line {problem.lineno}, column {problem.colno}"
            drafts.unreadable(f"{place}: is not JSON: {problem.msg}")
    return drafts.finish()


def load_drafts(
    drafts: list[Draft], database: Path, *, replace: bool, keep: Iterable[Model] = ()
) -> Loaded:
    """Load what was read; see load_files. What to `keep` does not go with the rest."""
    with writing(database) as connection:
        old = read_tables(connection)
        base: Tables = {model: {} for model in old} if replace else old
        new = merge(drafts, old, base | {model: old[model] for model in keep})
        counts = write_changes(connection, old, new)
    notes = dict.fromkeys(note for draft in drafts for note in draft.notes)
    return Loaded(counts, list(notes))


def merge(drafts: list[Draft], old: Tables, base: Tables) -> Tables:
    """The rows that result from putting drafts into a base; raises LoadError."""
    new = base
    problems: list[str] = []
    for draft in drafts:
        merged = Merge(old, new, draft)
        new = merged.new
        problems += draft.problems
    if problems:
        raise LoadError(problems)
    return new


def check_files(paths: Iterable[Path]) -> tuple[Rows, list[str]]:
    """The rows that files would load, and what is wrong with them; nothing is written.

    Raises LoadError where a file cannot be read.
    """
    drafts = read_files(paths)
    unreadable = [line for draft in drafts for line in draft.unreadable]
    if unreadable:
        raise LoadError(unreadable)
    tables: Tables = {model: {} for model in MODELS}
    wrong: list[str] = []
    for draft in drafts:
        tables = Merge(tables, tables, draft).new
        wrong += [*draft.problems, *dict.fromkeys(draft.notes)]
    rows = {
        model: [row_type(model)(**row) for row in table.values()]
        for model, table in tables.items()
    }
    return rows, wrong


class _Drafts:
    """Two drafts: of descriptions, and of records of what a gateway holds."""

    def __init__(self) -> None:
        self.described = Draft()
        self.recorded = Draft(record=True)
        self.harvest = Harvest(self.recorded)

    def add(self, document: Any, source: str) -> None:
        if is_captured(document):
            self.harvest.add(document, source)
        elif document == {} or _looks_like_config(document):
            add_config(self.described, document, source)
        else:
            self.unreadable(
                f"{source}: is neither a gateway's config.json nor one of its answers"
            )

    def add_database(self, path: Path) -> None:
        reader = Reader(path, MODELS, REQUIRED)
        try:
            add_rows(self.recorded, reader.read(), str(path))
        finally:
            reader.close()

    def unreadable(self, problem: str) -> None:
        self.described.unreadable.append(problem)
        self.described.problems.append(problem)

    def finish(self) -> list[Draft]:
        self.harvest.finish()
        return [draft for draft in (self.recorded, self.described) if _says(draft)]


_CONFIG_PARTS = {"governance", "providers", "mcp", "config_store", "client", "$schema"}


def _looks_like_config(document: Any) -> bool:
    return isinstance(document, dict) and not _CONFIG_PARTS.isdisjoint(document)


def _says(draft: Draft) -> bool:
    return bool(draft.items or draft.problems)


def _is_database(path: Path) -> bool:
    if path == STANDARD_INPUT:
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _parse(path: Path) -> Any:
    if path == STANDARD_INPUT:
        return orjson.loads(sys.stdin.buffer.read())
    with path.open("rb") as file:
        if not path.stat().st_size:
            return orjson.loads(b"")
        # Mapped, not read: the parsed objects are the only copy.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return orjson.loads(memoryview(mapped))
