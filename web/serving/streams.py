"""A limit on the large answers that are sent at the same time.

Each takes a thread, and some of its pieces in memory, until its client has read it all.
"""

from collections.abc import Iterable, Iterator
from threading import Lock

from errors import Busy

STREAMS = 192  # at the same time
WHOLE_LISTS = 128  # of the above: whole lists leave some to pages


class StreamLimit:
    """Counts the large answers that are being sent."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._whole = 0

    def limited(self, pieces: Iterable[bytes], *, whole: bool) -> "Stream":
        """Return the pieces, of a whole list or a page, counted until they are closed.

        Raises Busy.
        """
        with self._lock:
            if self._count >= STREAMS or (whole and self._whole >= WHOLE_LISTS):
                raise Busy
            self._count += 1
            self._whole += whole
        return Stream(pieces, self, whole)

    def leave(self, whole: bool) -> None:
        with self._lock:
            self._count -= 1
            self._whole -= whole


class Stream:
    """The pieces of an answer; closed by its reader, or at its end."""

    def __init__(
        self, pieces: Iterable[bytes], limit: StreamLimit, whole: bool
    ) -> None:
        self._next = iter(pieces).__next__
        self._limit: StreamLimit | None = limit
        self._whole = whole

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.leave(self._whole)

    __del__ = close
