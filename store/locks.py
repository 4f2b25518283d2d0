"""Tests for SQLite locks held by other processes; takes none.

The places of the locks are those of SQLite's unix interface (sqlite.org/lockingv3.html,
and section 2.3.1 of sqlite.org/walformat.html).
"""

import fcntl
import os
import struct
import sys

# Asking for an open file shows the locks of this process as well, where that is known.
_ASK = getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK)
_MACOS = sys.platform == "darwin"
_FLOCK = struct.Struct("qqihh" if _MACOS else "hhqqi")


def _lock(kind: int, start: int, length: int) -> bytes:
    """Return a lock as the system takes it."""
    if _MACOS:
        return _FLOCK.pack(start, length, 0, kind, os.SEEK_SET)
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


PENDING = _lock(fcntl.F_RDLCK, 0x40000000, 1)
RESERVED = _lock(fcntl.F_RDLCK, 0x40000001, 1)
SHARED = _lock(fcntl.F_RDLCK, 0x40000002, 510)
ALL = _lock(fcntl.F_RDLCK, 0x40000000, 512)
# Of a write-ahead log's index, held by all who have it open.
INDEX_IN_USE = _lock(fcntl.F_WRLCK, 128, 1)


def is_being_written(descriptor: int) -> bool:
    """Return True while a process writes to a database, or is about to."""
    if not _is_refused(descriptor, ALL):
        return False
    return _is_refused(descriptor, PENDING) or _is_refused(descriptor, SHARED)


def has_writer(descriptor: int) -> bool:
    """Return True while a process is in a transaction that writes."""
    return _is_refused(descriptor, RESERVED)


def is_in_use(index: int) -> bool:
    """Return True while a process has a write-ahead log open, by the log's index."""
    return _is_refused(index, INDEX_IN_USE)


def _is_refused(descriptor: int, lock: bytes) -> bool:
    """Return True if that lock could not be taken now."""
    found = _FLOCK.unpack(fcntl.fcntl(descriptor, _ASK, lock))
    return bool(found[3 if _MACOS else 0] != fcntl.F_UNLCK)
