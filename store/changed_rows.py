"""Reads of a database only what changed since it was read last.

Pages that are the same as before have the same rows. Of a table with other pages, the
leaves that changed are put into a small database of their own, where SQLite reads their
rows. Wherever it is not certain that this gives what reading all would, it is not done.
"""

import struct
from itertools import islice, pairwise
from typing import NamedTuple

import peewee

from models import Row
from store.leaf_image import batches, leaf_image
from store.leaves import (
    DAMAGED,
    Leaf,
    NotFollowed,
    Page,
    Table,
    cells,
    find_leaves,
    leaf_of,
    read_table,
)
from store.loaded_image import LoadedImage
from store.pages import Pages, Version
from store.rows import Models, Opened, Rows, Texts, select_table, texts_of

Model = type[peewee.Model]

# Of a smaller database, reading all takes no longer.
SMALL_BYTES = 2**19
# With more pages changed than these, and this part of all, all are read.
FEW_PAGES = 100
LARGE_CHANGE = 1 / 4


class LastRead(NamedTuple):
    """What was read of a database, and what is remembered of its pages."""

    rows: Rows
    version: Version
    schema: dict[int, bytes]  # the pages of the table that says what tables there are
    tables: dict[Model, Table]  # without those that the database lacks

    def with_rows(self, rows: Rows) -> "LastRead | None":
        """Return it with the rows; None where some of the database's were left out."""
        for model, table in self.tables.items():
            if sum(leaf.rows for leaf in table.leaves) != len(rows[model]):
                return None
        return self._replace(rows=rows)


class Changed(NamedTuple):
    """The pages of a table that changed, and what is on its changed leaves."""

    table: Table
    leaves: dict[int, bytes]  # by their numbers
    overflow: dict[int, bytes]


class Changes(NamedTuple):
    """What was read of a database's pages at one moment."""

    version: Version
    tables: dict[Model, Changed]


def follow(
    database: LoadedImage, image: bytearray, version: Version, models: Models
) -> LastRead | None:
    """Return what is remembered of a database that is read whole, but for its rows;
    `image` is a copy of it. None where its changes cannot be followed.
    """
    if len(image) < SMALL_BYTES:
        return None
    size = version.page_size

    def page(number: int) -> bytes:
        return bytes(image[(number - 1) * size : number * size])

    try:
        first_page = page(1)
        usable = _usable(first_page)
        schema = {n: page(n) for n in read_table(page, 1, "", usable).pages}
        made = _tables(database)
        names = {model: model._meta.table_name for model in models}
        tables = {
            model: read_table(page, *made[name], usable)
            for model, name in names.items()
            if name in made
        }
    except (NotFollowed, *DAMAGED):
        return None
    return LastRead({}, version, schema, tables)


def find_changes(pages: Pages, last: LastRead) -> Changes | None:
    """Return what changed since a database was read last; None where all may have."""
    found = pages.since(last.version)
    if found is None:
        return None
    numbers, version = found
    if len(numbers) > FEW_PAGES + LARGE_CHANGE * pages.count:
        return None
    try:
        if not _has_same_schema(pages, numbers, last.schema):
            return None
        usable = _usable(pages[1])
        tables = {
            model: _changed(pages.__getitem__, table, numbers, usable)
            for model, table in last.tables.items()
            if not numbers.isdisjoint(table.pages)
        }
    except (NotFollowed, *DAMAGED):
        return None
    return Changes(version, tables)


def read_changes(changes: Changes, last: LastRead, opened: Opened) -> LastRead:
    """Return all rows after changes. Raises NotFollowed, Unreadable, sqlite3.Error."""
    rows, tables = dict(last.rows), dict(last.tables)
    for model, changed in changes.tables.items():
        before = last.tables[model]
        rows[model] = _rows(model, changed, before, last.rows[model], opened)
        tables[model] = changed.table
    return last._replace(rows=rows, version=changes.version, tables=tables)


def _tables(database: LoadedImage) -> dict[str, tuple[int, str]]:
    """The first pages of all tables, and the statements that made them, by name."""
    return {
        name.lower(): (root, sql)
        for name, root, sql in database.execute_sql(
            "SELECT name, rootpage, sql FROM sqlite_master WHERE type = 'table'"
        )
    }


def _usable(first_page: bytes) -> int:
    """Return how many bytes of a page are used.

    Raises NotFollowed for databases other than those that SQLite makes by default.
    """
    size, reserved = struct.unpack_from(">H2xB", first_page, 16)
    (schema_format,) = struct.unpack_from(">I", first_page, 44)
    (encoding,) = struct.unpack_from(">I", first_page, 56)
    if (reserved, schema_format, encoding) != (0, 4, 1):
        raise NotFollowed("the format is another")
    return 65536 if size == 1 else size


def _has_same_schema(pages: Pages, numbers: set[int], before: dict[int, bytes]) -> bool:
    """Return whether the schema is the same, which begins on the first page after the
    file's header. In that, it has a number of its own.
    """
    for number in numbers & before.keys():
        now, then = pages[number], before[number]
        if number == 1:
            now, then = now[40:44] + now[100:], then[40:44] + then[100:]
        if now != then:
            return False
    return True


def _changed(page: Page, table: Table, numbers: set[int], usable: int) -> Changed:
    """Return the pages of a table of which some are among those that changed."""
    inner = table.inner
    places = [(leaf.page, leaf.high) for leaf in table.leaves]
    if not inner or not numbers.isdisjoint(inner):
        inner, places = find_leaves(page, table.root)
    known = {leaf.page: leaf for leaf in table.leaves}
    leaves: list[Leaf] = []
    texts: dict[int, bytes] = {}
    overflow: dict[int, bytes] = {}
    lowest = -(2**63) - 1
    for number, high in places:
        leaf = known.get(number)
        if (
            leaf is None
            or number in numbers
            or not numbers.isdisjoint(leaf.overflow)
            or leaf.high != high
        ):
            leaf = leaf_of(page, number, high, usable)
            texts[number] = page(number)
            _require_order(texts[number], leaf, lowest, usable)
            overflow.update((each, page(each)) for each in leaf.overflow)
        leaves.append(leaf)
        lowest = high
    now = Table.of(table.root, table.sql, inner, leaves)
    return Changed(now, texts, overflow)


def _require_order(text: bytes, leaf: Leaf, lowest: int, usable: int) -> None:
    """Raise NotFollowed unless the rows of a leaf are after `lowest`, in order."""
    rowids = [lowest, *(cell.rowid for cell in cells(text, leaf.page, usable))]
    if rowids[-1] > leaf.high or any(one >= other for one, other in pairwise(rowids)):
        raise NotFollowed("rows are out of order")


def _rows(
    model: Model,
    changed: Changed,
    before: Table,
    known: list[Row],
    opened: Opened,
) -> list[Row]:
    """Return the rows of a table of which some leaves changed.

    Rows that are equal to known ones are those, and a table of only such is the known.
    """
    kept, dropped, at = {}, [], 0
    now = {leaf.page for leaf in changed.table.leaves} - changed.leaves.keys()
    for leaf in before.leaves:
        rows = known[at : at + leaf.rows]
        at += leaf.rows
        if leaf.page in now:
            kept[leaf.page] = rows
        else:
            dropped += rows
    same = {row: row for row in dropped}
    read = _read_leaves(model, changed, texts_of(dropped))
    new = (same.get(row, row) for row in opened(model, read))
    rows = []
    for leaf in changed.table.leaves:
        rows += kept.get(leaf.page) or islice(new, leaf.rows)
    return known if rows == known else rows


def _read_leaves(model: Model, changed: Changed, texts: Texts) -> list[Row]:
    """Return the rows on the leaves of a table that changed; `texts` are those that
    were there before.
    """
    leaves = [leaf for leaf in changed.table.leaves if leaf.page in changed.leaves]
    pages = changed.leaves | changed.overflow
    rows: list[Row] = []
    for some in batches(leaves, changed.leaves):
        with LoadedImage(leaf_image(changed.table.sql, some, pages)) as database:
            database.require_sound()
            rows += select_table(database, model, texts)
    if len(rows) != sum(leaf.rows for leaf in leaves):
        raise NotFollowed("some rows were left out")
    return rows
