"""Copies of a SQLite database in memory, as of its last commit.

SQLite's own readers take locks, which can delay writers, and make files beside a
database with a write-ahead log. So the file is copied instead, and copied again if it
was written meanwhile. The format of logs is in write_ahead_log.py.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar, cast

from store.failures import HOT_JOURNAL, IN_MOTION, IS_LOCKED, Unreadable
from store.locations import MOUNTED_ALONE, Found, Location, is_mounted_alone
from store.locks import has_writer, is_being_written, is_in_use
from store.pages import HEADER_BYTES, Pages
from store.seen_file import SeenFile
from store.write_ahead_log import (
    INDEX_BYTES,
    Commits,
    Index,
    Log,
    MovedMeanwhile,
    read_into,
)

TRY_SECONDS = 2.0
PAUSE_SECONDS = 0.001
# Two changes within one tick of a file system's clock may leave the same time. Where
# times are whole seconds, so are the ticks, or two of them.
TICK_NANOSECONDS = 20 * 10**6
COARSE_TICK_NANOSECONDS = 2 * 10**9

T = TypeVar("T")


class DatabaseFiles:
    """The files of a database, open for reading until `close`.

    They stay open because closing a file drops all locks that this process has on it,
    those of other SQLite connections in the process included.
    """

    def __init__(self, location: Location) -> None:
        """Raises OSError, FileNotFoundError where the file was replaced meanwhile."""
        self.location = location
        self._opened = ExitStack()
        try:
            self._main = self._open(location.name, location.inode)
            if is_mounted_alone(location.name):
                raise Unreadable(MOUNTED_ALONE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._opened.close()

    def version(self, found: Found) -> tuple[object, ...]:
        """Return a value that differs after each commit; Unreadable if it is locked."""
        raise NotImplementedError

    def is_as_before(self) -> bool:
        """Return True if a quick look shows that `version` would be the same again.

        To be called where the main file has the same times. False where a closer look
        is needed.
        """
        raise NotImplementedError

    def at_one_moment(self, use: Callable[[Pages], T]) -> T:
        """Call `use` with the pages as of the last commit; again if they were written
        meanwhile. Raises Unreadable and OSError.
        """
        end = time.monotonic() + TRY_SECONDS
        while True:
            try:
                with self._moment() as commits:
                    return use(Pages(self.location, self._main, commits))
            except MovedMeanwhile:
                if time.monotonic() > end:
                    raise Unreadable(IN_MOTION) from None
            time.sleep(PAUSE_SECONDS)

    def image(self, pages: Pages) -> bytearray:
        """Return a copy of the database, as the bytes of a file without a log."""
        image = self.main_copy()
        pages.commits.put_into(image)
        return _without_log(image)

    @contextmanager
    def _moment(self) -> Iterator[Commits]:
        """The commits in the log, if any. Raises MovedMeanwhile at the end, where what
        was read meanwhile may not be of one moment.
        """
        raise NotImplementedError

    def _open(self, name: str, inode: int | None = None) -> int:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._opened.callback(os.close, descriptor)
        if inode is not None and os.fstat(descriptor).st_ino != inode:
            raise FileNotFoundError(name)
        return descriptor

    def main_copy(self) -> bytearray:
        """Return the bytes of the main file, as they are."""
        image = bytearray(os.fstat(self._main).st_size)
        with memoryview(image) as view:
            read_into(self._main, view, 0)
        return image


class PlainFile(DatabaseFiles):
    """A database without a log beside it."""

    uses_log = True  # until its header is read
    _seen_header = b""
    _was_young = True

    def version(self, found: Found) -> tuple[object, ...]:
        self._seen_header = header = self._header()
        self._was_young = is_young(found.main)
        if self.uses_log:
            return (self._was_young,)
        if is_being_written(self._main):
            raise Unreadable(IS_LOCKED)
        return header[24:28], header[92:100]  # counters that each commit changes

    def is_as_before(self) -> bool:
        if self.uses_log:
            return not (self._was_young or os.access(self.location.log_name, os.F_OK))
        header = os.pread(self._main, HEADER_BYTES, 0)
        return header == self._seen_header and not is_being_written(self._main)

    @contextmanager
    def _moment(self) -> Iterator[Commits]:
        before = self._state()
        self._require_no_writer()
        try:
            yield Commits(None)
        finally:
            locked = not self.uses_log and is_being_written(self._main)
            if locked or self._state() != before:
                raise MovedMeanwhile

    def _header(self) -> bytes:
        header = os.pread(self._main, HEADER_BYTES, 0)
        self.uses_log = header[18:20] == b"\2\2"
        return header

    def _state(self) -> tuple[object, ...]:
        file = os.fstat(self._main)
        return file.st_mtime_ns, file.st_size, self._header()

    def _require_no_writer(self) -> None:
        if self.uses_log:
            return
        if is_being_written(self._main):
            raise Unreadable(IS_LOCKED)
        if _has_hot_journal(self.location.name, self._main):
            raise Unreadable(HOT_JOURNAL)


class LoggedFile(DatabaseFiles):
    """A database and its write-ahead log, with the log's index if it has one."""

    uses_log = True

    def __init__(self, location: Location) -> None:
        super().__init__(location)
        self._index_name = f"{location.name}-shm"
        self._index: int | None = None
        self._index_inode = 0
        self._seen_log: SeenFile | None = None  # unless it was just written
        self._seen_index = b""
        try:
            self._log = self._open(location.log_name, location.log)
            self._find_index()
        except BaseException:
            self.close()
            raise

    def version(self, found: Found) -> tuple[object, ...]:
        # Who made the index anew meanwhile writes to the log next, which changes its
        # time: the copy that is made then finds it.
        if self._index is None:
            self._find_index()
        log = cast(os.stat_result, found.log)
        # The index has its header twice: one caught while it is written differs, too.
        header = self._index_bytes()[:96]
        young = is_young(log)
        self._seen_log = None if young else SeenFile(self.location.log_name, log)
        self._seen_index = header
        young = young and not self._index_is_in_use()
        return log.st_mtime_ns, log.st_size, header, young

    def is_as_before(self) -> bool:
        if self._seen_log is None or self._index_bytes()[:96] != self._seen_index:
            return False
        return self._seen_log.is_unchanged()

    @contextmanager
    def _moment(self) -> Iterator[Commits]:
        times = self._times()
        self._find_index()
        index = Index.parse(self._index_bytes()) if self._index_is_in_use() else None
        commits = Commits.of(Log.read(self._log), index)
        try:
            yield commits
        finally:
            if index is None:
                self._require_unwritten(times)
            else:
                self._require_generation(index, commits.frames)

    def _find_index(self) -> None:
        """Open the index that is there now: it may have been made anew."""
        try:
            inode = os.stat(self._index_name).st_ino
        except FileNotFoundError:
            self._index = None
            return
        if self._index is None or inode != self._index_inode:
            self._index, self._index_inode = self._open(self._index_name), inode

    def _index_bytes(self) -> bytes:
        return b"" if self._index is None else os.pread(self._index, INDEX_BYTES, 0)

    def _index_is_in_use(self) -> bool:
        """Return True if a process uses the index; a killed one may have left it."""
        return self._index is not None and is_in_use(self._index)

    def _times(self) -> tuple[object, ...]:
        both = os.fstat(self._main), os.fstat(self._log)
        return tuple((file.st_mtime_ns, file.st_size) for file in both)

    def _require_unwritten(self, times: tuple[object, ...]) -> None:
        """Raise MovedMeanwhile unless the files' times show that nothing was written.

        Without an index there is no other sign.
        """
        young = any(is_young(os.fstat(each)) for each in (self._main, self._log))
        if young or self._times() != times:
            raise MovedMeanwhile

    def _require_generation(self, index: Index, frames: int) -> None:
        """Raise MovedMeanwhile if the log was restarted, or newer frames copied back.

        A checkpoint says in the index what it will copy before it does.
        """
        self._find_index()
        after = self._index_bytes()
        salts = after[32:40], after[80:88]
        attempted = int.from_bytes(after[128:132], sys.byteorder)
        if salts != (index.salts, index.salts) or attempted > frames:
            raise MovedMeanwhile


def open_files(location: Location) -> PlainFile | LoggedFile:
    """Open a database's files. Raises OSError and Unreadable."""
    kind: Callable[[Location], PlainFile | LoggedFile]
    kind = PlainFile if location.log is None else LoggedFile
    return kind(location)


def _without_log(image: bytearray) -> bytearray:
    """Return the image with a header that names no write-ahead log."""
    if len(image) >= HEADER_BYTES:
        image[18:20] = b"\1\1"
    return image


def is_young(file: os.stat_result) -> bool:
    """Return True if a file could be written again without a change of its time."""
    coarse = file.st_mtime_ns % 10**9 == 0
    tick = COARSE_TICK_NANOSECONDS if coarse else TICK_NANOSECONDS
    return 0 <= time.time_ns() - file.st_mtime_ns < tick


def _has_hot_journal(name: str, main: int) -> bool:
    """Return True if a process was killed while it wrote and its journal is needed."""
    journal = f"{name}-journal"
    try:
        with open(journal, "rb") as file:
            begun = file.read(1) not in (b"", b"\0")  # a journal that is over is blank
            if not begun or has_writer(main):
                return False
            # A writer may have come to its end meanwhile.
            return os.stat(journal).st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
