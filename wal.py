"""Reading a database together with its write-ahead log, without taking part in it.

SQLite's own readers lock the database and write to the log's index, and may keep the
gateway from removing both when it ends. So the pages are copied instead, and the newest
page of the log put in place of each old one. Formats: sqlite.org/walformat.html, and
section 4 of sqlite.org/fileformat2.html.
"""

import os
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple

FORMAT = 3007000  # the version of both the log and its index
LOG_HEADER = struct.Struct(">8I")
FRAME_HEADER = struct.Struct(">6I")
INDEX_HEADER = struct.Struct("=3I2BH4I8s2I")  # the index begins with two of these
INDEX_BYTES = 136
ATTEMPTED_AT = 128  # in the index: how many frames any checkpoint began to copy back
FRAMES_AT_ONCE = 256  # a megabyte, mostly
TRY_SECONDS = 0.5
PAUSE_SECONDS = 0.001
# Two changes within one tick of a file system's clock may leave the same time.
TICK_NANOSECONDS = 20 * 10**6


class LogInMotion(Exception):
    """The log was checkpointed and begun anew each time that it was read."""


class _MovedMeanwhile(Exception):
    """What was copied may not be of one moment."""


class LogFiles:
    """A database, its log and the log's index, open for reading until `close`.

    They stay open because closing a file drops all locks that this process has on it,
    those of other SQLite connections in the process included.
    """

    def __init__(self, path: str) -> None:
        """`path` is the file's real name. Raises OSError, which names the file."""
        self._index_path = f"{path}-shm"
        self._descriptors: list[int] = []
        self._index: int | None = None
        try:
            self._main = self._open(path)
            self._log = self._open(f"{path}-wal")
            self._find_index()
        except OSError:
            self.close()
            raise
        self.log_inode = os.fstat(self._log).st_ino

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def version(self) -> bytes:
        """Return what differs after each commit: the header of the log's index.

        It stands there twice, so that one caught while it is written differs as well.
        Empty where there is no index: the process that had the database open was
        killed, or keeps its index in memory.
        """
        return self._index_bytes()[: 2 * INDEX_HEADER.size]

    def image(self) -> bytearray:
        """Return the database as of its last commit: the bytes of a file without a log.

        Raises LogInMotion and OSError.
        """
        end = time.monotonic() + TRY_SECONDS
        while True:
            try:
                return self._copy()
            except _MovedMeanwhile:
                if time.monotonic() > end:
                    raise LogInMotion from None
            time.sleep(PAUSE_SECONDS)

    def _open(self, path: str) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        return descriptor

    def _find_index(self) -> None:
        try:
            self._index = self._open(self._index_path)
        except FileNotFoundError:
            self._index = None

    def _index_bytes(self) -> bytes:
        if self._index is None:
            self._find_index()
        return b"" if self._index is None else os.pread(self._index, INDEX_BYTES, 0)

    def _copy(self) -> bytearray:
        times = self._times()
        index = _parse_index(self._index_bytes())
        log = _parse_log_header(os.pread(self._log, LOG_HEADER.size, 0))
        image = bytearray(os.fstat(self._main).st_size)
        _read_into(self._main, memoryview(image), 0)
        commits = self._commits(log, index)
        commits.put_into(image, self._log)
        image[18:20] = b"\1\1"  # says that there is no log
        if index is None:
            self._require_rest(times)
        else:
            self._require_generation(index, commits.frames)
        return image

    def _commits(self, log: "_Log | None", index: "_Index | None") -> "_Commits":
        """Return the pages of all commits in the log."""
        if log is None:
            commits = _Commits(page_size=0)
        elif index is None or index.frames == 0:
            commits = _Commits(log.page_size)
            if index is None or index.salts == log.salts:
                self._follow(commits, log, log.checksum)
        else:
            commits = _Commits(log.page_size)
            self._take_indexed(commits, log, index)
            self._follow(commits, log, index.checksum)
        return commits

    def _take_indexed(self, commits: "_Commits", log: "_Log", index: "_Index") -> None:
        """Take the frames that the index says are committed."""
        if log.salts != index.salts:
            raise _MovedMeanwhile
        frame = struct.Struct(f">2I8s8x{log.page_size}x")
        for first in range(0, index.frames, FRAMES_AT_ONCE):
            count = min(FRAMES_AT_ONCE, index.frames - first)
            frames = os.pread(self._log, count * frame.size, commits.offset(first))
            if len(frames) < count * frame.size:
                raise _MovedMeanwhile
            for page, size, salts in frame.iter_unpack(frames):
                if salts != log.salts:
                    raise _MovedMeanwhile
                commits.add(page, size)

    def _follow(self, commits: "_Commits", log: "_Log", checksum: "Checksum") -> None:
        """Take the frames after those, as far as their checksums hold.

        An index that a killed process left behind may lack the last of them.
        """
        while True:
            frame = os.pread(self._log, commits.frame_size, commits.next_offset)
            if len(frame) < commits.frame_size or frame[8:16] != log.salts:
                return
            checksum = _checksum(frame[:8], checksum, log.byte_order)
            checksum = _checksum(frame[24:], checksum, log.byte_order)
            page, size, _, _, *stated = FRAME_HEADER.unpack_from(frame)
            if tuple(stated) != checksum:
                return
            commits.add(page, size)

    def _times(self) -> tuple[object, ...]:
        both = os.fstat(self._main), os.fstat(self._log)
        return tuple((file.st_mtime_ns, file.st_size) for file in both)

    def _require_rest(self, times: tuple[object, ...]) -> None:
        """Without an index, only the files' times show whether they were written."""
        now = time.time_ns()
        files = os.fstat(self._main), os.fstat(self._log)
        if self._times() != times or any(
            0 <= now - file.st_mtime_ns < TICK_NANOSECONDS for file in files
        ):
            raise _MovedMeanwhile

    def _require_generation(self, index: "_Index", frames: int) -> None:
        """The log must not have been begun anew, nor newer frames been copied back.

        A checkpoint says in the index what it will copy before it does.
        """
        after = self._index_bytes()
        salts = after[32:40], after[80:88]
        attempted = int.from_bytes(after[ATTEMPTED_AT:][:4], sys.byteorder)
        if salts != (index.salts, index.salts) or attempted > frames:
            raise _MovedMeanwhile


Checksum = tuple[int, int]


class _Log(NamedTuple):
    """The header of a log."""

    page_size: int
    salts: bytes
    checksum: Checksum
    byte_order: str


class _Index(NamedTuple):
    """What the header of a log's index says: how many frames are committed."""

    frames: int
    checksum: Checksum
    salts: bytes


@dataclass
class _Commits:
    """The newest frame of each page, as of the last commit among those added."""

    page_size: int
    frames: int = 0  # up to the last commit
    pages: int = 0  # of the whole database then
    newest: dict[int, int] = field(default_factory=dict)
    _added: list[int] = field(default_factory=list)

    @property
    def frame_size(self) -> int:
        return FRAME_HEADER.size + self.page_size

    @property
    def next_offset(self) -> int:
        return self.offset(self.frames + len(self._added))

    def offset(self, frame: int) -> int:
        return LOG_HEADER.size + frame * self.frame_size

    def add(self, page: int, size: int) -> None:
        """Add the next frame; `size` is that of the database where it is a commit."""
        self._added.append(page)
        if size:
            self.newest.update(
                (each, self.frames + place) for place, each in enumerate(self._added)
            )
            self.frames += len(self._added)
            self.pages = size
            self._added.clear()

    def put_into(self, image: bytearray, log: int) -> None:
        """Put the pages into a copy of the database's file."""
        if not self.frames:
            return
        size = self.pages * self.page_size
        del image[size:]
        image.extend(bytes(size - len(image)))
        with memoryview(image) as view:
            for page, frame in self.newest.items():
                at = (page - 1) * self.page_size
                offset = self.offset(frame) + FRAME_HEADER.size
                _read_into(log, view[at : at + self.page_size], offset)


def _parse_log_header(header: bytes) -> _Log | None:
    """Return a log's header; None where there is none, and so no frames."""
    if len(header) < LOG_HEADER.size:
        return None
    magic, version, page_size, _, _, _, *checksum = LOG_HEADER.unpack(header)
    byte_order = {0x377F0682: "<", 0x377F0683: ">"}.get(magic)
    if byte_order is None or version != FORMAT:
        return None
    stated = (checksum[0], checksum[1])
    if _checksum(header[:24], (0, 0), byte_order) != stated:
        return None
    return _Log(page_size, header[16:24], stated, byte_order)


def _parse_index(index: bytes) -> _Index | None:
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
    return _Index(frames, (one, other), salts)


def _checksum(text: bytes, start: Checksum, byte_order: str) -> Checksum:
    """Return the checksum of a part of a log; `start` is that of what is before it."""
    one, other = start
    words = iter(struct.unpack(f"{byte_order}{len(text) // 4}I", text))
    for first in words:
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + next(words) + one) & 0xFFFFFFFF
    return one, other


def _read_into(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill the view from that place of the file; raises _MovedMeanwhile at its end."""
    at = 0
    while at < len(view):
        count = os.preadv(descriptor, [view[at:]], offset + at)
        if not count:
            raise _MovedMeanwhile
        at += count
