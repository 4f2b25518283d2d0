"""Numbers that several worker processes count up, added up by whichever is asked."""

import mmap
import os
from threading import Lock

BYTES = 8  # of a number
PROCESSES = 4096  # workers, those included that died; the memory is used as needed


class SharedNumbers:
    """So many numbers, to be made before the workers are forked.

    Each process has a part of its own in memory that all share: nothing is lost where
    two count at once, nor when a worker dies, and no file is left behind.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        memory = mmap.mmap(-1, BYTES * (1 + PROCESSES * count))
        self._numbers = memoryview(memory).cast("d")
        self._numbers[0] = 1  # how many parts there are
        self._start = 1  # of the part of this process
        self._lock = Lock()
        os.register_at_fork(before=self._add_part, after_in_child=self._take_part)

    def add(self, place: int, amount: float = 1) -> None:
        """Add to one of the numbers."""
        with self._lock:
            self._numbers[self._start + place] += amount

    def totals(self) -> list[float]:
        """Return the sums over all processes."""
        parts, count = int(self._numbers[0]), self._count
        starts = range(1, 1 + parts * count, count)
        each = (self._numbers[start : start + count] for start in starts)
        return [sum(numbers) for numbers in zip(*each, strict=True)]

    def _add_part(self) -> None:
        # Only the parent forks. Beyond the limit, the last part is used again.
        self._numbers[0] = min(self._numbers[0] + 1, PROCESSES)

    def _take_part(self) -> None:
        self._lock = Lock()
        self._start = 1 + (int(self._numbers[0]) - 1) * self._count
