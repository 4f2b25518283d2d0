"""Answers as they are sent: whole or in pieces, plain or compressed."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from snapshot import gzip_parts as compression

# An answer up to this size is sent whole; of a larger one, no more is held for a client
# than it is behind by some pieces: the server copies what it is given.
WHOLE_BYTES = 512 * 2**10
PIECE_BYTES = 256 * 2**10  # smaller pieces cost time, larger ones memory
KEEP_BYTES = 4 * 2**20  # up to this size the pieces are kept; else made for each client
KEPT_BYTES = 16 * 2**20  # what all kept answers of a snapshot may take together
ANSWER_BYTES = 40 * 2**10  # what one takes beside its text, a page of 100 at the most
# What is repeated within a small answer shrinks to nothing if compressed in one go.
COMPRESS_WHOLE_BYTES = 2**20


class Body:
    """The bytes of an answer's body, and their size.

    Large ones are never held whole: `parts` is called whenever they are sent.
    """

    def __init__(
        self, parts: Callable[[], Iterable[bytes]], size: int, keep_bytes: int
    ) -> None:
        self.size = size
        self.parts = parts
        self._kept: list[bytes] | None = None
        if size <= WHOLE_BYTES:
            self._kept = [b"".join(parts())]
        elif size <= keep_bytes:
            self._kept = list(in_pieces(parts()))

    def sent(self) -> Iterable[bytes]:
        """Return a list of the whole body, or an iterator over its pieces."""
        if self._kept is None:
            return in_pieces(self.parts())
        return self._kept if len(self._kept) == 1 else iter(self._kept)


class Answer:
    """An answer in both its forms, each with its quoted entity tag."""

    def __init__(
        self, digest: str, plain: Body, compressed: Callable[[], Iterable[bytes]]
    ) -> None:
        self.etag = f'"{digest}"'
        self.zipped_etag = f'"{digest}-gzip"'
        self.plain = plain
        self._compressed = compressed
        self._zipped: Body | None = None
        self._lock = threading.Lock()

    @property
    def is_zipped(self) -> bool:
        """True if the compressed form was made already."""
        return self._zipped is not None

    def zipped(self) -> Body:
        """Return the compressed form, made once for all; the same bytes everywhere."""
        with self._lock:
            if self._zipped is None:
                self._zipped = self._zip()
            return self._zipped

    def _zip(self) -> Body:
        plain = self.plain
        if plain.size <= COMPRESS_WHOLE_BYTES:
            blocks = [compression.compress(b"".join(plain.parts()))]
        else:
            blocks = list(self._compressed())
        end = compression.tail(plain.parts(), plain.size)
        parts = [compression.HEAD, *blocks, end]
        return Body(lambda: parts, sum(map(len, parts)), keep_bytes=WHOLE_BYTES)


class KeptAnswers:
    """The answers of a snapshot that were made already, up to KEPT_BYTES of them."""

    def __init__(self) -> None:
        self._answers: dict[Any, Answer] = {}
        self._being_made: dict[Any, threading.Lock] = {}
        self._bytes = 0

    def get(self, key: Any) -> Answer | None:
        return self._answers.get(key)

    def get_or_make(self, key: Any, make: Callable[[], Answer]) -> Answer:
        """Return an answer that was made already, or is made once for all who ask."""
        answer = self._answers.get(key)
        if answer is not None:
            return answer
        with self._being_made.setdefault(key, threading.Lock()):
            answer = self._answers.get(key)
            if answer is None:
                answer = make()
                self._keep(key, answer)
            self._being_made.pop(key, None)
        return answer

    def _keep(self, key: Any, answer: Answer) -> None:
        size = answer.plain.size
        zipped = min(size // 4, WHOLE_BYTES)  # what it may take, too, when asked for
        kept = ANSWER_BYTES + zipped + (size if size <= KEEP_BYTES else 0)
        if self._bytes + kept > KEPT_BYTES:
            self._answers, self._bytes = {}, 0
        self._answers[key] = answer
        self._bytes += kept


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts one after the other: small ones joined, very large ones cut."""
    waiting, size = [], 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            if len(waiting) > 1:
                yield b"".join(waiting[:-1])
            if len(part) <= 2 * PIECE_BYTES:
                yield part
            else:
                for start in range(0, len(part), PIECE_BYTES):
                    yield part[start : start + PIECE_BYTES]
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
