"""Tests for SQLite locks held by other processes; takes none.

The places of the locks are those of SQLite's unix interface (sqlite.org/lockingv3.html,
and section 2.3.1 of sqlite.org/walformat.html).
"""

import fcntl
import os
import struct
import sys

PENDING = (0x40000000, 1)
RESERVED = (0x40000001, 1)
SHARED = (0x40000002, 510)
ALL = (0x40000000, 512)
INDEX_IN_USE = (128, 1)  # of a write-ahead log's index, by all who have it open

# Asking for an open file shows the locks of this process as well, where that is known.
_ASK = getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK)
_MACOS = sys.platform == "darwin"
_FLOCK = struct.Struct("qqihh" if _MACOS else "hhqqi")


def is_being_written(descriptor: int) -> bool:
    """Return True while a process writes to a database, or is about to."""
    if not _conflicts(descriptor, ALL, fcntl.F_RDLCK):
        return False
    places = (PENDING, SHARED)
    return any(_conflicts(descriptor, place, fcntl.F_RDLCK) for place in places)


def has_writer(descriptor: int) -> bool:
    """Return True while a process is in a transaction that writes."""
    return _conflicts(descriptor, RESERVED, fcntl.F_RDLCK)


def is_in_use(index: int) -> bool:
    """Return True while a process has a write-ahead log open, by the log's index."""
    return _conflicts(index, INDEX_IN_USE, fcntl.F_WRLCK)


def _conflicts(descriptor: int, place: tuple[int, int], kind: int) -> bool:
    """Return True if a lock of that kind could not be taken there now."""
    start, length = place
    if _MACOS:
        asked = _FLOCK.pack(start, length, 0, kind, os.SEEK_SET)
    else:
        asked = _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
    found = _FLOCK.unpack(fcntl.fcntl(descriptor, _ASK, asked))
    return bool(found[3 if _MACOS else 0] != fcntl.F_UNLCK)
