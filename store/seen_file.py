"""A file as it was looked at, to find out quickly that it was not written since."""

import os
import time

SETTLED_NANOSECONDS = 5 * 10**9  # longer than the coarsest file time, FAT's 2 s


class SeenFile:
    """What a file's name led to when it was looked at.

    A link is never unchanged: where it leads has to be found anew.
    """

    def __init__(self, name: str, seen: os.stat_result) -> None:
        self._name = name
        self._seen = seen
        # Results of `stat` are compared without the fractions of their seconds. They
        # also tell when a file was last read: then it just takes one closer look.
        self._written = seen.st_mtime_ns
        self._changed = seen.st_ctime_ns  # which nobody can set back

    def is_unchanged(self) -> bool:
        """Return True if it is the same file, with the same times and size."""
        try:
            now = os.lstat(self._name)
        except OSError:
            return False
        return (
            now.st_mtime_ns == self._written
            and now.st_ctime_ns == self._changed
            and now == self._seen
        )

    def is_old(self) -> bool:
        """Return True if it was not written for so long that whoever writes to it now
        changes its times, however coarse these are.
        """
        newest = max(self._written, self._changed)
        return time.time_ns() - newest > SETTLED_NANOSECONDS
