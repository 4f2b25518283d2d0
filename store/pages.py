"""The pages of a database as of one commit, and which of them differ from before.

The format is that of sqlite.org/fileformat2.html, section 1.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from store.locations import Location
from store.write_ahead_log import Commits, read_into

HEADER_BYTES = 100  # of a database file (section 1.3)
# Pages are compared by digests of so many. Of fewer each takes longer, since the thread
# waits for its turn after it; of more, more is read in vain. 128 KiB, mostly.
BLOCK_PAGES = 32


class Position(NamedTuple):
    """Where a write-ahead log ended, and the files that it belongs to."""

    location: Location
    written: tuple[int, int]  # the time and size of the database's file itself
    salts: bytes  # of this generation of the log
    frames: int


class Version(NamedTuple):
    """What is remembered of a database's pages."""

    page_size: int
    digests: list[bytes]  # of their blocks
    position: Position | None


class Pages:
    """The pages of a database, by their numbers, which begin with 1.

    Pages in the log go before those in the file. They are read when they are asked for.
    """

    def __init__(self, location: Location, main: int, commits: Commits) -> None:
        self._main = main
        self.commits = commits
        self._position: Position | None = None
        file = os.fstat(main)
        if commits.log is not None and commits.frames:
            self.size = commits.log.page_size
            self.count = commits.pages
            written = (file.st_mtime_ns, file.st_size)
            salts, frames = commits.log.salts, commits.frames
            self._position = Position(location, written, salts, frames)
        else:
            self.size = _page_size(os.pread(main, HEADER_BYTES, 0))
            self.count = file.st_size // self.size

    def __getitem__(self, number: int) -> bytes:
        """Return a page. Raises IndexError where there is none."""
        if not 0 < number <= self.count:
            raise IndexError(number)
        page = bytearray(self.size)
        self._read(number, memoryview(page))
        return bytes(page)

    def version(self, image: bytearray) -> Version:
        """Return what to remember of these pages, of which `image` is a copy."""
        size = BLOCK_PAGES * self.size
        with memoryview(image) as view:
            digests = [
                _digest(view[at : at + size]) for at in range(0, len(image), size)
            ]
        return Version(self.size, digests, self._position)

    def since(self, before: Version) -> tuple[set[int], Version] | None:
        """Return the numbers of pages that may differ from a version before, and what
        to remember of these; None where all may.
        """
        if before.page_size != self.size or not self.count:
            return None
        count = -(-self.count // BLOCK_PAGES)
        digests = before.digests[:count]
        digests += [b""] * (count - len(digests))
        numbers = self._written_since(before.position)
        if numbers is None:
            changed = self._compare(range(count), digests)
            numbers = {number for block in changed for number in _numbers(block)}
        else:
            self._compare({_block(number) for number in numbers}, digests)
        return numbers, Version(self.size, digests, self._position)

    def _written_since(self, before: Position | None) -> set[int] | None:
        """Return the pages written to the log since, if all that was written is there.

        A log that goes on has all it had before, until it is begun anew.
        """
        now = self._position
        if before is None or now is None or before[:3] != now[:3]:
            return None
        if before.frames > now.frames:
            return None
        newest = self.commits.newest.items()
        return {number for number, frame in newest if frame >= before.frames}

    def _compare(self, blocks: Iterable[int], digests: list[bytes]) -> list[int]:
        """Return the blocks that have other digests, and put these into the list."""
        in_log: dict[int, list[int]] = {}
        for number in self.commits.newest:
            if number <= self.count:
                in_log.setdefault(_block(number), []).append(number)
        size = BLOCK_PAGES * self.size
        buffer = bytearray(size)
        changed = []
        for block in blocks:
            with memoryview(buffer)[: self.count * self.size - block * size] as view:
                self._read_block(block, in_log.get(block, []), view)
                digest = _digest(view)
            if digest != digests[block]:
                digests[block] = digest
                changed.append(block)
        return changed

    def _read_block(self, block: int, in_log: list[int], view: memoryview) -> None:
        start = block * BLOCK_PAGES * self.size
        stored = max(0, min(len(view), os.fstat(self._main).st_size - start))
        read_into(self._main, view[:stored], start)
        view[stored:] = bytes(len(view) - stored)
        for number in in_log:
            at = (number - 1) * self.size - start
            self._read(number, view[at : at + self.size])
        if block == 0:
            view[18:20] = b"\1\1"

    def _read(self, number: int, view: memoryview) -> None:
        log, frame = self.commits.log, self.commits.newest.get(number)
        if log is None or frame is None:
            read_into(self._main, view, (number - 1) * self.size)
        else:
            read_into(log.descriptor, view, log.page_offset(frame))
        if number == 1:
            view[18:20] = b"\1\1"  # as though it had no log: see images.py


def _block(number: int) -> int:
    """Return the block that a page is in."""
    return (number - 1) // BLOCK_PAGES


def _numbers(block: int) -> range:
    """The numbers of the pages in a block."""
    return range(block * BLOCK_PAGES + 1, (block + 1) * BLOCK_PAGES + 1)


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size in (0, 1) else size


def _digest(block: memoryview) -> bytes:
    return hashlib.sha256(block).digest()
