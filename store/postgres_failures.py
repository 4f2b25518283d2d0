"""Reasons why a PostgreSQL database cannot be read or written, as sentences.

Never the server's own: they may quote what is stored, or how to get in.
"""

import re

import psycopg
from psycopg import errors

from store.failures import IS_DAMAGED, IS_LOCKED, IS_MISSING

IS_CHANGING = "is being changed all the time"
DOES_NOT_ANSWER = "does not answer"
WAS_LOST = "ended the connection"

_NOT_UNDERSTOOD = "has a name that cannot be understood"
_NOT_ALLOWED = "may not be read by this user: it needs SELECT on the tables"
_OF_STATE = {
    "42883": "is in a PostgreSQL older than 14",  # which lacks a function
    "42501": _NOT_ALLOWED,
    "55P03": IS_LOCKED,
    "57014": "takes too long to answer",
    "53300": "has too many connections",
    "53100": "has no room left on its disk",
    "53200": "has no memory left",
    "25006": "cannot be written: it is a replica, or read-only",
    "28P01": "does not take the password (PGPASSWORD, or PGPASSFILE)",
    "3D000": IS_MISSING,
    "25P03": WAS_LOST,
    "57P01": WAS_LOST,
    "57P02": WAS_LOST,
    "57P05": WAS_LOST,
    "XX001": IS_DAMAGED,
    "XX002": IS_DAMAGED,
}
_OF_CLASS = {
    "08": WAS_LOST,
    "28": "does not let this user in",
    "40": IS_CHANGING,
    "53": "has no resources left",
    "57": "is starting up or shutting down",
}
# A refused connection has no SQLSTATE, only words; those of other languages match none.
LOST = (WAS_LOST, _OF_CLASS["57"])
_OF_WORDS = [
    (re.compile(words, re.I), reason)
    for words, reason in (
        ("invalid (integer|port|sslmode|value)", _NOT_UNDERSTOOD),
        ("definition of service", "is named by a service that is not defined"),
        ("timeout expired|timed out", DOES_NOT_ANSWER),
        ("no password supplied", "asks for a password (PGPASSWORD, or PGPASSFILE)"),
        ("password authentication failed", _OF_STATE["28P01"]),
        ("too many (clients|connections)|connection slots", _OF_STATE["53300"]),
        ("starting up|shutting down|not (yet )?accepting|recovery", _OF_CLASS["57"]),
        ("connection refused", "refuses connections: it may be down"),
        ("server closed the connection|reset by peer|terminat", WAS_LOST),
        ("database .* does not exist", IS_MISSING),
        ("role .* does not exist|no pg_hba.conf|reject", _OF_CLASS["28"]),
        ("permission denied", _NOT_ALLOWED),
        ("translate host|name or service|resolve|nodename", "has an unknown host name"),
        ("certificate|SSL|TLS", "does not agree on TLS (sslmode)"),
        ("unreachable|no route", "cannot be reached"),
    )
]


def failure_reason(problem: Exception) -> str:
    """Return why the database cannot be used, by what was raised."""
    driver = _driver_error(problem)
    if isinstance(driver, psycopg.ProgrammingError) and driver.sqlstate is None:
        return _NOT_UNDERSTOOD
    if isinstance(driver, errors._WaitTimeout):
        return DOES_NOT_ANSWER
    state = getattr(driver, "sqlstate", None) or ""
    reason = _OF_STATE.get(state) or _OF_CLASS.get(state[:2])
    return reason or _reason_of_words(str(driver))


def _driver_error(problem: Exception) -> BaseException | None:
    """Return what psycopg raised; peewee raises errors of its own in its context."""
    return problem if isinstance(problem, psycopg.Error) else problem.__context__


def _reason_of_words(words: str) -> str:
    # Names are quoted, and could be any words.
    line = re.sub(r"([\"']).*?\1", "", words.partition("\n")[0])
    found = (reason for pattern, reason in _OF_WORDS if pattern.search(line))
    return next(found, "cannot be reached or read")


def write_failure_reason(problem: Exception) -> str:
    """Return why the database cannot be written, by what was raised."""
    reason = failure_reason(problem)
    return "may not be written by this user" if reason == _NOT_ALLOWED else reason


def is_locked(problem: Exception) -> bool:
    return failure_reason(problem) == IS_LOCKED


def is_lost(problem: BaseException | None) -> bool:
    """True if a connection ended under a question that another one may answer."""
    return isinstance(problem, Exception) and failure_reason(problem) in LOST


def has_changed_meanwhile(problem: Exception) -> bool:
    """True if tables or columns changed while they were read, or a replica had to give
    up what was read: it may well be there the next time.
    """
    return isinstance(
        _driver_error(problem),
        errors.UndefinedTable
        | errors.UndefinedColumn
        | errors.SerializationFailure
        | errors.DeadlockDetected,
    )
