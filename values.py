"""Single values: read as they are stored, checked, masked. Knows no tables."""

import hashlib
import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

ZERO_TIME = "0001-01-01T00:00:00Z"  # Go's zero time, which the gateway shows for unset
MASK = "***"
DEEPEST = 200  # levels of stored JSON; orjson writes no more than 254

VALUE_PREFIX = "sk-bf-"  # what every virtual key's value begins with

_EPOCH = datetime(1970, 1, 1)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_UNIX_UNITS = ((0, 10**12), (3, 10**15), (6, 10**18))  # decimals, and counts up to that
# What SQLite and the drivers of Go and Python write: a date, and maybe a time, seconds,
# a fraction, a zone. Go may add " UTC m=+0.5".
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ Tt](\d\d:\d\d)(?:(:\d\d)(?:[.,](\d+))?)?)?"
    r"(?: ?(?:[Zz]|UTC|([+-])(\d\d)(?::?(\d\d))?)(?: .*)?)?",
    re.ASCII,
)
_REFERENCES = ("env.", "vault.")
_REFERRING = ("ref", "env_var", "vault_var", "value")
_SECRET_NAME = re.compile("key|token|secret|passw|auth|credential|bearer", re.I)
# "Authorization: Bearer x", "Bearer x", {"apiKey": "x"}: all after the name is masked.
_SECRET_TEXT = re.compile(
    rf"^([\w-]*(?:{_SECRET_NAME.pattern})[\w-]*:\s*|.*?\bbearer\s+"
    rf'|.*?"[^"]*(?:{_SECRET_NAME.pattern})[^"]*"\s*:\s*).+',
    re.I | re.S,
)
# The authority ends at the first / ? or #; what stands before its last @ is userinfo.
_USERINFO = re.compile(r"^((?:[^/?#@]*:)?//|)[^/?#]*@")


def instant(timestamp: str | int | None) -> tuple[int, int]:
    """Return a stored timestamp as (seconds since 1970, nanoseconds), for comparing.

    Unset is the zero time; a text without a zone is UTC. Raises ValueError for what is
    no timestamp of the years 1 to 9999.
    """
    if isinstance(timestamp, int):
        return _unix_instant(timestamp)
    _, moment, offset, fraction = _parsed(timestamp or ZERO_TIME)
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds - offset
    return _within_years(seconds), int(fraction.ljust(9, "0"))


@lru_cache(256)  # the times of one row are often the same
def rfc3339(timestamp: str | int) -> str:
    """Return a stored timestamp as RFC 3339 in UTC, trailing zeros dropped.

    Raises ValueError as `instant` does.
    """
    if isinstance(timestamp, int):
        seconds, nanoseconds = _unix_instant(timestamp)
        return _shown(_date_time(seconds), f"{nanoseconds:09}")
    shown, _, offset, fraction = _parsed(timestamp)
    if offset:
        shown = _date_time(instant(timestamp)[0])
    return _shown(shown, fraction)


def _shown(date_time: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    return f"{date_time}.{fraction}Z" if fraction else f"{date_time}Z"


def _date_time(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def _unix_instant(count: int) -> tuple[int, int]:
    """Return the time an integer stands for: seconds since 1970, or smaller units.

    Go's drivers read it as milliseconds above 10^12; what would then be beyond the year
    9999 counts micro- or nanoseconds.
    """
    digits = next((n for n, most in _UNIX_UNITS if abs(count) <= most), 9)
    seconds, rest = divmod(count, 10**digits)
    return _within_years(seconds), rest * 10 ** (9 - digits)


def _within_years(seconds: int) -> int:
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise ValueError("is not a timestamp of the years 1 to 9999")
    return seconds


def _parsed(timestamp: str) -> tuple[str, datetime, int, str]:
    """Return local date and time, in ISO 8601 and as such, the seconds that its zone is
    east of UTC, and the digits of a second.
    """
    match = _TIMESTAMP.fullmatch(timestamp)
    if match is None:
        raise ValueError("is not a timestamp")
    day, time, second, fraction, sign, hours, minutes = match.groups()
    offset = int(hours) * 3600 + int(minutes or 0) * 60 if sign else 0
    shown = f"{day}T{time or '00:00'}{second or ':00'}"
    moment = datetime.fromisoformat(shown)
    return shown, moment, -offset if sign == "-" else offset, (fraction or "")[:9]


def has_passed(expires_at: Any, now: datetime) -> bool:
    """Return whether a stored time (a key's `expires_at`) has passed; unset never does.

    A time that cannot be read has passed: with credentials, doubt is a no.
    """
    if not expires_at:
        return False
    try:
        expires = instant(expires_at)
    except (ValueError, TypeError):
        return True
    if expires == instant(None):
        return False
    return expires <= (int(now.timestamp()), now.microsecond * 1000)


def stored_time(nanoseconds: int) -> str:
    """Return a Unix time as gateways store it."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{fraction:09}+00:00"


# As gateways parse them: Go's units, or a calendar unit after them, or a word.
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_UNITS = rf"(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))"
_DURATION = re.compile(
    rf"\+?(?:{_UNITS}+|{_UNITS}*{_NUMBER}[dwMQY])|(?i:daily|weekly|monthly|yearly)",
    re.ASCII,
)


def duration_problem(text: object) -> str | None:
    """Return what is wrong with a reset duration, if anything is."""
    if not isinstance(text, str) or _DURATION.fullmatch(text) is None:
        return (
            "is no duration; it takes Go's units (90s, 1h30m), d, w, M, Q, Y (1d), or"
            " daily, weekly, monthly, yearly"
        )
    if text[0] in "+.0123456789" and not any(digit in "123456789" for digit in text):
        return "must be above zero"
    return None


def number(value: object) -> int | float:
    """Return a stored number, a whole one as an integer, exact to 64 bits."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("is not a finite number")
        if value.is_integer() and abs(value) < 2**63:
            return int(value)
    elif not isinstance(value, int):
        raise ValueError("is not a number")
    return value


def text(value: Any) -> str:
    """Return a stored text; SQLite may hold bytes or a number in its place."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def whole_numbers(value: Any, depth: int = 0) -> Any:
    """Return a JSON value with its whole numbers as integers."""
    if isinstance(value, float):
        return number(value)
    if depth > DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        return {name: whole_numbers(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [whole_numbers(each, depth + 1) for each in value]
    return value


def flag(value: Any) -> bool:
    """Return a stored boolean: 0 and 1, or the words that databases write for them."""
    if isinstance(value, str):
        value = {"true": 1, "t": 1, "false": 0, "f": 0}.get(value.lower(), value)
    if value not in (0, 1):
        raise ValueError("is neither true nor false")
    return bool(value)


def reference(stored: object) -> str:
    """Return where a secret is read from, "env.NAME" or "vault.PATH"; "" if stored.

    Gateways store such a text, or an object of it and what it leads to.
    """
    secret = _secret_object(stored)
    parts = [stored] if secret is None else [secret.get(name) for name in _REFERRING]
    texts = (part for part in parts if isinstance(part, str))
    return next((text for text in texts if text.startswith(_REFERENCES)), "")


def secret_text(stored: Any) -> Any:
    """Return where a secret is read from, or else its value, as they are stored."""
    secret = _secret_object(stored)
    return stored if secret is None else reference(secret) or secret.get("value")


def _secret_object(stored: object) -> dict[str, Any] | None:
    """Return the object that a secret is stored as, be it as JSON text."""
    if isinstance(stored, str) and stored.startswith("{"):
        try:
            stored = orjson.loads(stored)
        except ValueError:
            return None
    if not isinstance(stored, dict) or stored.keys().isdisjoint(_REFERRING):
        return None
    return stored


def json_text(value: Any) -> str:
    """Return a value as a JSON column stores it."""
    return orjson.dumps(value).decode()


def value_hash(value: str) -> str:
    """Return the SHA-256 of a virtual key's value, by which gateways find it."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def env_value(value: object) -> dict[str, Any]:
    """Return where a provider's secret is read from, as answers show it."""
    env_var = reference(value)
    return {"value": "", "env_var": env_var, "from_env": env_var.startswith("env.")}


def mask_value(value: str) -> str:
    """Return a virtual key's value as a virtual-key caller sees it."""
    if len(value) <= 8:
        return "*" * len(value)
    return f"{value[:4]}{'*' * 24}{value[-4:]}"


def mask_url(text: str) -> str:
    """Return a URL without possible credentials: userinfo and every query value."""
    if text.startswith(_REFERENCES):
        return text
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    address, query_mark, rest = text.partition("?")
    query, hash_mark, fragment = rest.partition("#")
    if query:
        query = "&".join(_mask_parameter(part) for part in query.split("&"))
    return f"{address}{query_mark}{query}{hash_mark}{fragment}"


def _mask_parameter(parameter: str) -> str:
    # A parameter without a name may be the whole credential ("?TOKEN").
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals else MASK if parameter else ""


def mask_arguments(arguments: list[str]) -> list[str]:
    """Return a command's arguments without possible credentials.

    That is what `NAME=VALUE`, `--name=value` and `--name value` say under a name such
    as API_KEY, and what URLs hide.
    """
    masked, follows = [], False
    for argument in arguments:
        masked.append(MASK if follows else _mask_argument(argument))
        is_flag = argument.startswith("-") and "=" not in argument
        follows = is_flag and _SECRET_NAME.search(argument) is not None
    return masked


def _mask_argument(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if "://" in name:
        return mask_url(argument)
    if not equals:
        return _SECRET_TEXT.sub(rf"\1{MASK}", argument)
    shown = MASK if _SECRET_NAME.search(name) else _mask_argument(value)
    return f"{name}={shown}"


def mask_variables(variables: list[str]) -> list[str]:
    """Return environment variables, each `NAME` or `NAME=VALUE`, without values."""
    parts = (variable.partition("=") for variable in variables)
    return [f"{name}={MASK}" if equals else name for name, equals, _ in parts]


def mask_command(command: str) -> str:
    """Return a command without possible credentials, should it hold arguments."""
    return " ".join(mask_arguments(command.split(" ")))


def mask_certificate(pem: str) -> str:
    """Return certificates, which are public; `***` if a private key is among them."""
    return MASK if "PRIVATE KEY" in pem else pem
