"""The files of a SQLite database by its name: links, hard links, mounts."""

import os
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from store.failures import kind_problem

MAGIC = b"SQLite format 3\0"  # what every SQLite database begins with
SEVERAL_NAMES = (
    "has several names (hard links), and its write-ahead log or journal may be beside"
    " another one; give it one name only"
)
MOUNTED_ALONE = (
    "is mounted as a single file, so that its write-ahead log or journal cannot be"
    " seen; mount its folder instead"
)


class Location(NamedTuple):
    """The identity of a database's file and of its write-ahead log."""

    name: str  # the real one, to which links lead
    device: int
    inode: int
    log: int | None  # the inode of a log with content

    @property
    def log_name(self) -> str:
        return f"{self.name}-wal"


class Found(NamedTuple):
    """A database's location and file times, and why it cannot be served, if so."""

    location: Location
    main: os.stat_result
    log: os.stat_result | None
    problem: str | None


def find(name: str) -> Found:
    """Return what a database's name leads to, through links. Raises OSError."""
    main = os.lstat(name)
    if stat.S_ISLNK(main.st_mode):
        # The log stands beside the file itself, not beside a link to it.
        name = os.path.realpath(name)
        main = os.stat(name)
    log = _log(f"{name}-wal")
    location = Location(name, main.st_dev, main.st_ino, log.st_ino if log else None)
    usual = stat.S_ISREG(main.st_mode) and main.st_nlink == 1
    return Found(location, main, log, None if usual else _problem(main, log))


def _log(name: str) -> os.stat_result | None:
    """Return the times of a log with content, if there is one."""
    try:
        log = os.stat(name)
    except FileNotFoundError:
        return None
    return log if log.st_size else None


def _problem(main: os.stat_result, log: os.stat_result | None) -> str | None:
    """Return why a file cannot be served, if so."""
    if problem := kind_problem(main.st_mode):
        return problem
    # The log that is beside this name is the one in use, if it has no other name.
    own_log = log is not None and log.st_nlink == 1
    return SEVERAL_NAMES if main.st_nlink > 1 and not own_log else None


def is_mounted_alone(name: str) -> bool:
    """Return True for a file mounted by itself, as into a container."""
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            # Octal escapes stand for blanks and the like (proc(5)).
            places = (line.split()[4] for line in mounts)
            return os.fsencode(os.path.realpath(name)) in map(_unescaped, places)
    except OSError:
        return False  # not Linux


def _unescaped(place: bytes) -> bytes:
    return place.decode("unicode_escape").encode("latin-1")


def is_database(path: Path) -> bool:
    """Return True for a file that begins as SQLite databases do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def uri_of(name: str | Path, access: str) -> str:
    """Return the URI of a database file (sqlite.org/uri.html), whatever its name."""
    return f"file:{quote(os.fsencode(name))}?{access}"
