"""Open what is to be loaded: files, pipes and standard input."""

import mmap
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import orjson

from store.locations import MAGIC

STANDARD_INPUT = Path("-")
PIECE_BYTES = 2**16
MOST_BYTES = 2**30  # of a pipe, which has no size of its own


class Source:
    """A file or pipe to be loaded: a database, or JSON."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._is_file = _is_regular(file)
        self._first = file.read(len(MAGIC)) if self._is_file else file.read(PIECE_BYTES)
        self.is_database = self._first.startswith(MAGIC)

    @contextmanager
    def database(self) -> Iterator[Path]:
        """Return the path of the database; of a pipe's, that of a private copy."""
        if self._is_file and self._path != STANDARD_INPUT:
            yield self._path
            return
        with tempfile.NamedTemporaryFile(prefix="governance-", suffix=".db") as copy:
            copy.write(self._all())
            copy.flush()
            yield Path(copy.name)

    def parsed(self) -> Any:
        """Return the parsed JSON. Raises JSONDecodeError and OSError."""
        if self._is_file and self._first:
            # Mapped, not read: the parsed objects are the only copy.
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return orjson.loads(memoryview(mapped))
        if self._first.lstrip()[:1] not in (b"{", b"["):
            return orjson.loads(self._first)  # an endless one need not be read
        return orjson.loads(self._all())

    def _all(self) -> bytes:
        if self._is_file:
            self._file.seek(0)
            return self._file.read()
        pieces = BytesIO()
        pieces.write(self._first)
        while piece := self._file.read(PIECE_BYTES):
            pieces.write(piece)
            if pieces.tell() > MOST_BYTES:
                raise OSError(0, f"it holds more than {MOST_BYTES} bytes")
        return pieces.getvalue()


def _is_regular(file: IO[bytes]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # in memory
        return False


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a path, or standard input for `-`. Raises OSError."""
    if path != STANDARD_INPUT:
        with path.open("rb") as file:
            yield Source(path, file)
        return
    if sys.stdin is None:
        raise OSError(0, "standard input is closed")
    yield Source(path, sys.stdin.buffer)
