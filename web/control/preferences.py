"""The Prefer header (RFC 7240), with the preferences that `--faults` honours.

`code` and `wait` are meant as the mock server Prism means them: a status to answer, and
seconds to wait first.
"""

import re
from http import HTTPStatus
from typing import NamedTuple

from errors import ApiError

LONGEST_HEADER = 1000  # characters
LONGEST_SECONDS = 3600.0

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_WORD = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_NAMED = rf"{_TOKEN}(?:\s*=\s*(?:{_WORD})?)?"
_PREFERENCE = re.compile(
    rf"\s*({_TOKEN})(?:\s*=\s*({_WORD})?)?((?:\s*;\s*(?:{_NAMED})?)*)\s*(?:,|$)"
)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?", re.ASCII)


class Preferred(NamedTuple):
    """What a request prefers of what is honoured; None where it does not say."""

    status: int | None = None
    delay: float | None = None

    def applied(self) -> str:
        """Return the value of the Preference-Applied header."""
        applied = [] if self.status is None else [f"code={self.status}"]
        applied += [] if self.delay is None else [f"wait={self.delay:g}"]
        return ", ".join(applied)


def preferred(header: str) -> Preferred:
    """Return what a Prefer header asks for. Raises ApiError.

    Several headers come joined with commas. Other preferences are ignored, as are
    parameters; of one given twice the first counts. A status that is no failure is
    honoured by the ordinary answer where it is 200; where nothing here answers it, it
    is a 404, as with Prism.
    """
    given = _preferences(header)
    code, wait = given.get("code"), given.get("wait")
    status = None if code is None else _status(code)
    return Preferred(status, None if wait is None else _delay(wait))


def _preferences(header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    header = header[:LONGEST_HEADER]
    while position < len(header):
        match = _PREFERENCE.match(header, position)
        if match is None:  # something malformed is passed over, up to the next comma
            position = (header.find(",", position) + 1) or len(header)
            continue
        found.setdefault(match[1].lower(), _unquoted(match[2] or ""))
        position = match.end()
    return found


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _status(code: str) -> int:
    if not re.fullmatch("[1-9][0-9]{2}", code, re.ASCII):
        raise _invalid("code takes a status of three digits")
    if code != "200" and not is_failure(int(code)):
        message = "Prefer: code asks for a status that nothing is answered with here."
        raise ApiError(404, "not_found", message, "Prefer")
    return int(code)


def _delay(wait: str) -> float:
    if not _SECONDS.fullmatch(wait) or float(wait) > LONGEST_SECONDS:
        raise _invalid(f"wait takes seconds, up to {LONGEST_SECONDS:g}")
    return float(wait)


def _invalid(problem: str) -> ApiError:
    return ApiError(400, "invalid_parameter", f"Prefer: {problem}.", "Prefer")


def is_failure(status: int) -> bool:
    """Whether a status is one of the registered 4xx and 5xx."""
    return 400 <= status < 600 and status in HTTPStatus._value2member_map_
