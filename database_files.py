"""Which file a database's name leads to, and whether its log can be seen beside it."""

import os
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from failures import kind_problem

SEVERAL_NAMES = (
    "has several names (hard links), and its write-ahead log may be beside another one;"
    " give the name that the gateway uses"
)
MOUNTED_ALONE = (
    "is mounted as a single file, so that its write-ahead log cannot be seen; mount its"
    " folder instead"
)


class Files(NamedTuple):
    """A database's file and its log: which they are, and when they were written."""

    name: str  # the real one, to which links lead
    device: int
    inode: int
    has_other_names: bool
    log: int | None  # the inode of a write-ahead log with content
    modified: int = 0
    size: int = 0
    log_modified: int = 0
    log_size: int = 0
    problem: str | None = None  # why it cannot be a database

    @property
    def whose(self) -> "Files":
        """Which files these are, whenever they were written."""
        return Files(*self[:5])


def find_files(name: str) -> Files:
    """Return the file that a name leads to, through links. Raises OSError."""
    file = os.lstat(name)
    if stat.S_ISLNK(file.st_mode):
        # The log stands beside the file itself, not beside a link to it.
        name = os.path.realpath(name)
        file = os.stat(name)
    try:
        log = os.stat(f"{name}-wal")
    except FileNotFoundError:
        log = None
    files = Files(
        name,
        file.st_dev,
        file.st_ino,
        file.st_nlink > 1,
        None,
        file.st_mtime_ns,
        file.st_size,
        problem=kind_problem(file.st_mode),
    )
    if log is None or not log.st_size:
        return files
    return files._replace(
        log=log.st_ino, log_modified=log.st_mtime_ns, log_size=log.st_size
    )


def hidden_log_problem(files: Files) -> str | None:
    """Return why a database that uses a log may have one that cannot be seen."""
    if files.has_other_names:
        return SEVERAL_NAMES
    return MOUNTED_ALONE if is_mounted_alone(files.name) else None


def uri_of(name: str | Path, access: str) -> str:
    """Return the URI of a database file (sqlite.org/uri.html), whatever its name."""
    return f"file:{quote(os.fsencode(name))}?{access}"


def is_write_ahead(name: str) -> bool:
    """Whether a database uses a write-ahead log."""
    with open(name, "rb") as file:
        return file.read(20)[18:] == b"\2\2"  # sqlite.org/fileformat2.html, 1.3.3


def is_mounted_alone(name: str) -> bool:
    """Whether a file is a mount point, as where a container was given it alone."""
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            # Octal escapes stand for blanks and the like (proc(5)).
            places = (line.split()[4] for line in mounts)
            return os.fsencode(name) in map(_unescaped, places)
    except OSError:
        return False  # not Linux


def _unescaped(place: bytes) -> bytes:
    return place.decode("unicode_escape").encode("latin-1")
