"""Where in a database's pages the rows of a table are.

A table is a tree of pages: the leaves have the rows, in the order of their rowids, and
other pages the numbers of those below them. A row that is too long for a page goes on
in overflow pages. See sqlite.org/fileformat2.html, section 1.6.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

INNER, LEAF = 5, 13  # kinds of pages of a table; of others, keys are not rowids
HIGHEST = 2**63 - 1  # rowid

Text = bytes | bytearray  # of a page
Page = Callable[[int], bytes]  # returns a page by its number; raises IndexError


# What comes of pages that do not fit together.
DAMAGED = (LookupError, struct.error)


class NotFollowed(Exception):
    """A table's pages are not as they are expected to be."""


class Leaf(NamedTuple):
    """A leaf's page, the highest rowid that may be on it, and what is on it."""

    page: int
    high: int
    rows: int
    overflow: tuple[int, ...]  # pages on which its rows go on


class Cell(NamedTuple):
    """A row on a leaf: its rowid, and where on the page its first overflow page is
    named, if it has any, of so many.
    """

    rowid: int
    pointer: int
    overflow: int


class Table(NamedTuple):
    """The pages of a table."""

    root: int
    sql: str  # that made it
    inner: list[int]
    leaves: list[Leaf]
    pages: frozenset[int]  # the numbers of all of them

    @classmethod
    def of(cls, root: int, sql: str, inner: list[int], leaves: list[Leaf]) -> "Table":
        pages = {leaf.page for leaf in leaves}
        pages.update(inner, *(leaf.overflow for leaf in leaves if leaf.overflow))
        return cls(root, sql, inner, leaves, frozenset(pages))


def read_table(page: Page, root: int, sql: str, usable: int) -> Table:
    """Return the pages of a table. Raises NotFollowed and DAMAGED."""
    inner, places = find_leaves(page, root)
    leaves = [leaf_of(page, number, high, usable) for number, high in places]
    return Table.of(root, sql, inner, leaves)


def find_leaves(page: Page, root: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the pages above the leaves of a table, and those of its leaves in order,
    each with the highest rowid that it may have.
    """
    inner: list[int] = []
    level = [(root, HIGHEST)]
    while _kind(page(level[0][0]), level[0][0]) == INNER:
        inner += [number for number, _ in level]
        level = [below for each in level for below in _children(page, *each)]
        if len(set(inner)) < len(inner):
            raise NotFollowed("the tree has a circle")
    return inner, level


def _children(page: Page, number: int, high: int) -> Iterator[tuple[int, int]]:
    text = page(number)
    at = _header(number)
    if text[at] != INNER:
        raise NotFollowed("leaves are on several levels")
    for cell in _pointers(text, at, 12):
        (child,) = struct.unpack_from(">I", text, cell)
        yield child, _varint(text, cell + 4)[0]
    (last,) = struct.unpack_from(">I", text, at + 8)
    yield last, high


def leaf_of(page: Page, number: int, high: int, usable: int) -> Leaf:
    """Return a leaf, of which `usable` bytes of each page are used."""
    text = page(number)
    at = _header(number)
    if text[at] != LEAF:
        raise NotFollowed("a leaf is none")
    pointers = _pointers(text, at, 8)
    least = 0x80 | (usable - 35) >> 7
    overflow: list[int] = []
    for pointer in pointers:
        if _may_overflow(text, pointer, least):
            overflow += chain(page, text, _cell(text, pointer, usable))
    return Leaf(number, high, len(pointers), tuple(overflow))


def cells(text: Text, number: int, usable: int) -> list[Cell]:
    """Return the rows that are on a leaf."""
    if text[_header(number)] != LEAF:
        raise NotFollowed("a leaf is none")
    pointers = _pointers(text, _header(number), 8)
    return [_cell(text, pointer, usable) for pointer in pointers]


def _kind(text: Text, number: int) -> int:
    return text[_header(number)]


def _header(number: int) -> int:
    """Return where a page's header is: on the first it follows the file's."""
    return 100 if number == 1 else 0


def _pointers(text: Text, at: int, header: int) -> tuple[int, ...]:
    (count,) = struct.unpack_from(">H", text, at + 3)
    return struct.unpack_from(f">{count}H", text, at + header)


def _may_overflow(text: Text, pointer: int, least: int) -> bool:
    """Return True if a row may go on in overflow pages.

    It begins with its length, in seven bits a byte, all but the last with the highest
    bit set: in two bytes, of which the first is `least` or more, or in more than two.
    """
    first = text[pointer]
    return first >= least or (first >= 0x80 and text[pointer + 1] >= 0x80)


def _cell(text: Text, pointer: int, usable: int) -> Cell:
    length, at = _varint(text, pointer)
    rowid, at = _varint(text, at)
    if length <= usable - 35:
        return Cell(rowid, 0, 0)
    least = (usable - 12) * 32 // 255 - 23
    here = least + (length - least) % (usable - 4)
    if here > usable - 35:
        here = least
    return Cell(rowid, at + here, -(-(length - here) // (usable - 4)))


def chain(page: Page, text: Text, cell: Cell) -> Iterator[int]:
    """The overflow pages of a row."""
    at = cell.pointer
    for _ in range(cell.overflow):
        (number,) = struct.unpack_from(">I", text, at)
        yield number
        text, at = page(number), 0


def _varint(text: Text, at: int) -> tuple[int, int]:
    """Return a number of up to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        byte = text[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    value = value << 8 | text[at + 8]
    return value - 2**64 if value >= 2**63 else value, at + 9
