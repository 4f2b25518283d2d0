"""The write-ahead log of a SQLite database, and the log's index.

Formats: sqlite.org/walformat.html, and section 4 of sqlite.org/fileformat2.html.
"""

import os
import struct
import sys
from dataclasses import dataclass, field
from typing import NamedTuple, Self

FORMAT = 3007000  # the version of both the log and its index
LOG_HEADER = struct.Struct(">8I")
FRAME_HEADER = struct.Struct(">6I")
INDEX_HEADER = struct.Struct("=3I2BH4I8s2I")  # the index begins with two of these
INDEX_BYTES = 136
FRAMES_AT_ONCE = 256  # a megabyte, mostly

Checksum = tuple[int, int]


class MovedMeanwhile(Exception):
    """The file was written while it was copied, so the copy may be torn."""


class Log(NamedTuple):
    """A log's header, and the descriptor that its frames are read from."""

    descriptor: int
    page_size: int
    salts: bytes
    checksum: Checksum
    byte_order: str

    @classmethod
    def read(cls, descriptor: int) -> Self | None:
        """Return the log; None where its header is not whole: then it has no frames."""
        header = os.pread(descriptor, LOG_HEADER.size, 0)
        if len(header) < LOG_HEADER.size:
            return None
        magic, version, page_size, _, _, _, *checksum = LOG_HEADER.unpack(header)
        byte_order = {0x377F0682: "<", 0x377F0683: ">"}.get(magic)
        if byte_order is None or version != FORMAT:
            return None
        stated = (checksum[0], checksum[1])
        if _checksum(header[:24], (0, 0), byte_order) != stated:
            return None
        return cls(descriptor, page_size, header[16:24], stated, byte_order)

    @property
    def frame_size(self) -> int:
        return FRAME_HEADER.size + self.page_size

    def offset(self, frame: int) -> int:
        return LOG_HEADER.size + frame * self.frame_size

    def page_offset(self, frame: int) -> int:
        return self.offset(frame) + FRAME_HEADER.size


class Index(NamedTuple):
    """The header of a log's index: how many frames are committed."""

    frames: int
    checksum: Checksum
    salts: bytes

    @classmethod
    def parse(cls, index: bytes) -> Self | None:
        """Return the header of an index; None where there is none that is whole."""
        size = INDEX_HEADER.size
        first = index[:size]
        if len(index) < INDEX_BYTES or first != index[size : 2 * size]:
            return None
        version, _, _, ready, _, _, frames, _, *rest = INDEX_HEADER.unpack(first)
        one, other, salts, *stated = rest
        native = "<" if sys.byteorder == "little" else ">"
        if version != FORMAT or not ready:
            return None
        if _checksum(first[:40], (0, 0), native) != tuple(stated):
            return None
        return cls(frames, (one, other), salts)


@dataclass
class Commits:
    """The newest frame of each page, as of the last commit in a log."""

    log: Log | None
    frames: int = 0  # up to the last commit
    pages: int = 0  # of the whole database then
    newest: dict[int, int] = field(default_factory=dict)
    _added: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, log: Log | None, index: Index | None) -> Self:
        """Return the commits in a log, including those not in its index yet."""
        commits = cls(log)
        if log is None:
            return commits
        checksum = log.checksum
        if index is not None and log.salts != index.salts:
            if index.frames:
                raise MovedMeanwhile  # caught between two generations of the log
            return commits  # of an older generation: all is in the database
        if index is not None and index.frames:
            commits._take_indexed(log, index.frames)
            checksum = index.checksum
        commits._follow(log, checksum)
        return commits

    def put_into(self, image: bytearray) -> None:
        """Put the pages into a copy of the database's file."""
        if self.log is None or not self.frames:
            return
        page_size = self.log.page_size
        size = self.pages * page_size
        del image[size:]
        image.extend(bytes(size - len(image)))
        with memoryview(image) as view:
            for page, frame in self.newest.items():
                at = (page - 1) * page_size
                offset = self.log.page_offset(frame)
                read_into(self.log.descriptor, view[at : at + page_size], offset)

    def _take_indexed(self, log: Log, count: int) -> None:
        """Add the frames that the index says are committed."""
        frame = struct.Struct(f">2I8s8x{log.page_size}x")
        for first in range(0, count, FRAMES_AT_ONCE):
            size = min(FRAMES_AT_ONCE, count - first) * frame.size
            frames = os.pread(log.descriptor, size, log.offset(first))
            if len(frames) < size:
                raise MovedMeanwhile
            for page, pages, salts in frame.iter_unpack(frames):
                if salts != log.salts:
                    raise MovedMeanwhile
                self._add(page, pages)

    def _follow(self, log: Log, checksum: Checksum) -> None:
        """Add the frames after those, as far as their checksums hold."""
        while True:
            offset = log.offset(self.frames + len(self._added))
            frame = os.pread(log.descriptor, log.frame_size, offset)
            if len(frame) < log.frame_size or frame[8:16] != log.salts:
                return
            checksum = _checksum(frame[:8], checksum, log.byte_order)
            checksum = _checksum(frame[24:], checksum, log.byte_order)
            page, pages, _, _, *stated = FRAME_HEADER.unpack_from(frame)
            if tuple(stated) != checksum:
                return
            self._add(page, pages)

    def _add(self, page: int, pages: int) -> None:
        """Add the next frame; `pages` is the database's size where it is a commit."""
        self._added.append(page)
        if pages:
            self.newest.update(
                (each, self.frames + place) for place, each in enumerate(self._added)
            )
            self.frames += len(self._added)
            self.pages = pages
            self._added.clear()


def read_into(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill the view from that place of a file; raises MovedMeanwhile at its end."""
    at = 0
    while at < len(view):
        count = os.preadv(descriptor, [view[at:]], offset + at)
        if not count:
            raise MovedMeanwhile
        at += count


def _checksum(text: bytes, start: Checksum, byte_order: str) -> Checksum:
    """Return the checksum of a part of a log; `start` is that of what is before it."""
    one, other = start
    words = iter(struct.unpack(f"{byte_order}{len(text) // 4}I", text))
    for first in words:
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + next(words) + one) & 0xFFFFFFFF
    return one, other
