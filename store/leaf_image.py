"""A small database with some leaves of a table of another one."""

import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing

from store.leaves import INNER, Cell, Leaf, cells, chain

INNER_HEADER = struct.Struct(">BHHHBI")
# What a leaf takes on the page above: its number, a rowid, and where these are.
LARGEST_ENTRY = 4 + 9 + 2


def batches(leaves: list[Leaf], texts: Mapping[int, bytes]) -> Iterator[list[Leaf]]:
    """The leaves, as many at a time as fit into one image."""
    if leaves:
        size = len(texts[leaves[0].page])
        most = (size - INNER_HEADER.size) // LARGEST_ENTRY
        for first in range(0, len(leaves), most):
            yield leaves[first : first + most]


def leaf_image(sql: str, leaves: list[Leaf], texts: Mapping[int, bytes]) -> bytearray:
    """Return a database with one table, which `sql` makes, and these leaves.

    `texts` has the leaves and their overflow pages by their numbers.
    """
    size = len(texts[leaves[0].page])
    image, root = _empty_table(sql, size)
    pages = _Appended(len(image) // size)
    below = []
    for leaf in leaves:
        text = bytearray(texts[leaf.page])
        rows = cells(text, leaf.page, size)
        for row in rows:
            pages.append_chain(text, row, texts)
        below.append((pages.append(text), rows[-1].rowid if rows else 0))
    # One leaf alone is the table's first page.
    top = pages.texts.pop() if len(below) == 1 else _inner_page(below, size)
    image[(root - 1) * size : root * size] = top
    image += b"".join(pages.texts)
    # Its size, which counts where the change counter stands twice.
    struct.pack_into(">I", image, 28, len(image) // size)
    image[92:96] = image[24:28]
    return image


class _Appended:
    """Pages appended to so many others."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.texts: list[bytearray] = []

    def append(self, text: bytearray) -> int:
        """Return the page's number."""
        self.texts.append(text)
        return self._count + len(self.texts)

    def append_chain(
        self, leaf: bytearray, row: Cell, texts: Mapping[int, bytes]
    ) -> None:
        """Append the overflow pages of a row, and let it name these."""
        named_on, at = leaf, row.pointer
        for number in list(chain(texts.__getitem__, leaf, row)):
            text = bytearray(texts[number])
            struct.pack_into(">I", named_on, at, self.append(text))
            named_on, at = text, 0


def _empty_table(sql: str, page_size: int) -> tuple[bytearray, int]:
    """Return a database with a table, and the number of the table's first page."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute(sql)
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master"
            " WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchone()
        return bytearray(connection.serialize()), root


def _inner_page(below: list[tuple[int, int]], size: int) -> bytearray:
    """Return the page above pages, of each of which the highest rowid is given."""
    page, end = bytearray(size), size
    pointers = []
    for number, rowid in below[:-1]:
        entry = struct.pack(">I", number) + _varint(rowid)
        end -= len(entry)
        page[end : end + len(entry)] = entry
        pointers.append(end)
    header = INNER_HEADER.pack(INNER, 0, len(pointers), end, 0, below[-1][0])
    header += struct.pack(f">{len(pointers)}H", *pointers)
    page[: len(header)] = header
    return page


def _varint(value: int) -> bytes:
    """Return a rowid as SQLite writes it."""
    value %= 2**64
    if value >> 56:  # nine bytes, of which the last has eight bits
        groups = [value >> 8 + 7 * place & 0x7F for place in range(7, -1, -1)]
        return bytes(0x80 | group for group in groups) + bytes([value & 0xFF])
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))
