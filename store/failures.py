"""Reasons why a database cannot be read, as sentences that say what to do."""

import os
import sqlite3
import stat

from addresses import Address

IS_LOCKED = "is locked by another process"
IS_MISSING = "does not exist"
IS_DAMAGED = "is damaged"

_CANNOT_BE_OPENED = "cannot be opened"
IN_MOTION = (
    "changes faster than it can be copied, or is being overwritten by something other"
    " than SQLite; replace a file as a whole instead (cp to another name, then mv)"
)
HOT_JOURNAL = (
    "was left in the middle of a change, which {name}-journal can undo: open it once"
    " with the gateway, or with sqlite3"
)
_WORDS: dict[int, str] = {
    sqlite3.SQLITE_READONLY_ROLLBACK: HOT_JOURNAL,
    sqlite3.SQLITE_BUSY: IS_LOCKED,
    sqlite3.SQLITE_LOCKED: IS_LOCKED,
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: IS_DAMAGED,
    sqlite3.SQLITE_IOERR: IS_DAMAGED,
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_READONLY: "may not be written by this user",
}
_KINDS = {
    stat.S_IFDIR: "is a directory",
    stat.S_IFIFO: "is a pipe, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
}


class DatabaseUnavailable(Exception):
    """The database cannot be read. `reason` goes on where "the database" ends."""

    def __init__(self, path: Address, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason


class Unreadable(Exception):
    """A database's files cannot be read now, for a reason as in DatabaseUnavailable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def kind_problem(mode: int) -> str | None:
    """Return what a file is, by its mode, if it is none that could be a database."""
    return _KINDS.get(stat.S_IFMT(mode))


def failure_reason(problem: Exception, name: str) -> str:
    """Return why the database of that name cannot be used, by what was raised.

    Never a driver's own words: they may quote what is stored.
    """
    if isinstance(problem, OSError):
        return _os_reason(problem)
    if isinstance(problem, Unreadable):
        return problem.reason.format(name=os.path.basename(name))
    code = result_code(problem)
    words = _WORDS.get(code) or _WORDS.get(code & 0xFF)  # without its details
    return (words or _CANNOT_BE_OPENED).format(name=os.path.basename(name))


def result_code(problem: Exception) -> int:
    """Return the SQLite result code of what was raised, 0 if it has none.

    Its lowest byte is the primary code (sqlite.org/rescode.html).
    """
    # peewee raises errors of its own in the context of the driver's.
    driver = problem if isinstance(problem, sqlite3.Error) else problem.__context__
    return int(getattr(driver, "sqlite_errorcode", 0))


def write_failure_reason(problem: Exception, name: str) -> str:
    """Return why the database of that name cannot be written, by what was raised."""
    if isinstance(problem, PermissionError):
        return "may not be written by this user"
    reason = failure_reason(problem, name)
    if reason == _CANNOT_BE_OPENED:  # to write, SQLite makes a file beside it
        return "cannot be written: its folder may not be written by this user"
    return reason


def _os_reason(problem: OSError) -> str:
    named = os.path.basename(os.fsdecode(problem.filename or ""))
    if isinstance(problem, FileNotFoundError):
        return IS_MISSING
    if isinstance(problem, IsADirectoryError):
        return "is a directory"
    if isinstance(problem, PermissionError):
        if named.endswith(("-wal", "-shm")):
            return f"cannot be read without {named}, which this user may not read"
        return "may not be read by this user"
    return f"cannot be read: {(problem.strerror or 'unknown error').lower()}"
