"""All settings: names, defaults, meanings, accepted values."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from click import ClickException

from addresses import Address, postgres_url

PREFIX = "GOVERNANCE_"
MINIMUM_SECRET_BYTES = 32  # RFC 7518, section 3.2: as long as the HS256 digest

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


class SettingError(ClickException):
    """A setting has a value that is not accepted; the text names both.

    A click exception, so that any command ends with the sentence and status 1.
    """


def _text(name: str, value: str) -> str:
    return value


def _path(name: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise SettingError(f"{name} is {value!r}; there is no such user") from None


def _address(name: str, value: str) -> Address:
    return postgres_url(value) or _path(name, value)


def _seconds(name: str, value: str) -> float:
    plain = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", value.strip(), re.ASCII)
    seconds = float(value) if plain else 0.0
    if not 0.05 <= seconds <= 86_400:
        raise SettingError(
            f"{name} is {value!r}; it takes a number of seconds from 0.05 to 86400"
        )
    return seconds


def _choice(*choices: str) -> Callable[[str, str], str]:
    def parse(name: str, value: str) -> str:
        if value.lower() not in choices:
            raise SettingError(f"{name} is {value!r}; it takes {' or '.join(choices)}")
        return value.lower()

    return parse


def _origins(name: str, value: str) -> tuple[str, ...]:
    if value.strip() == "*":
        return ("*",)
    return tuple(_origin(name, each.strip()) for each in value.split(","))


def _origin(name: str, origin: str) -> str:
    """The origin as browsers send it: in lower case, without the scheme's own port."""
    parts = _ORIGIN.fullmatch(origin.lower())
    if parts is None or int(parts["port"] or 0) > 65535:
        raise SettingError(
            f"{name} holds {origin!r}; it takes * or origins such as"
            " https://example.com:8443, without a path, with commas between them"
        )
    own = {"http": "80", "https": "443"}.get(parts["scheme"])
    port = "" if parts["port"] in (None, own) else f":{int(parts['port'])}"
    return f"{parts['scheme']}://{parts['host']}{port}"


def _secret(name: str, value: str) -> bytes:
    return strong_secret(os.fsencode(value), name) if value else b""


def strong_secret(secret: bytes, name: str) -> bytes:
    """Return the secret. Raises SettingError if it is too short for HS256."""
    if len(secret) < MINIMUM_SECRET_BYTES:
        raise SettingError(
            f"{name} holds a secret of {len(secret)} bytes; HS256 needs at least"
            f" {MINIMUM_SECRET_BYTES} (try: openssl rand -hex 32)"
        )
    return secret


@dataclass(frozen=True)
class Setting:
    """One setting: the environment variable, the default as it would be typed, help."""

    name: str
    default: str
    help: str
    parse: Callable[[str, str], Any]


SETTINGS = {
    "database": Setting(
        "GOVERNANCE_DATABASE",
        "data/governance.db",
        "the gateway's tables: an SQLite file, or postgresql://…; only read",
        _address,
    ),
    "access_database": Setting(
        "GOVERNANCE_ACCESS_DATABASE",
        "data/access.db",
        "our own database with the API keys' hashes: a file, or postgresql://…",
        _address,
    ),
    "jwt_secret": Setting(
        "GOVERNANCE_JWT_SECRET",
        "",
        "the HS256 secret, 32 bytes or more; goes before the secret file",
        _secret,
    ),
    "jwt_secret_file": Setting(
        "GOVERNANCE_JWT_SECRET_FILE",
        "data/jwt-secret",
        "the file with the HS256 secret; `flask token` makes it when missing",
        _path,
    ),
    "jwt_public_key_file": Setting(
        "GOVERNANCE_JWT_PUBLIC_KEY_FILE",
        "",
        "a PEM public key: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA)",
        lambda name, value: _path(name, value) if value else None,
    ),
    "encryption_key": Setting(
        "GOVERNANCE_ENCRYPTION_KEY",
        "",
        "the passphrase that the gateway encrypts with; goes before the file",
        lambda name, value: value.strip(),
    ),
    "encryption_key_file": Setting(
        "GOVERNANCE_ENCRYPTION_KEY_FILE",
        "",
        "the file with that passphrase",
        lambda name, value: _path(name, value) if value else None,
    ),
    "snapshot_seconds": Setting(
        "GOVERNANCE_SNAPSHOT_SECONDS",
        "2",
        "how often the background check looks for a changed database",
        _seconds,
    ),
    "shutdown_seconds": Setting(
        "GOVERNANCE_SHUTDOWN_SECONDS",
        "10",
        "how long answers in progress may take after a signal to end",
        _seconds,
    ),
    "virtual_key_scope": Setting(
        "GOVERNANCE_VIRTUAL_KEY_SCOPE",
        "own",
        "which teams a virtual key sees: own (its customer's) or all",
        _choice("own", "all"),
    ),
    "auth": Setting(
        "GOVERNANCE_AUTH",
        "on",
        "on, or off: no credentials asked, for loopback clients only",
        _choice("on", "off"),
    ),
    "cors_origins": Setting(
        "GOVERNANCE_CORS_ORIGINS",
        "",
        "the origins whose web pages may read the answers: a list with commas, or *",
        lambda name, value: _origins(name, value) if value else (),
    ),
    "pages": Setting(
        "GOVERNANCE_PAGES",
        "on",
        "on, or off: nothing at /, /docs and /openapi.json",
        _choice("on", "off"),
    ),
}


@dataclass(frozen=True)
class Settings:
    """The parsed settings; one field for each entry of SETTINGS."""

    database: Address
    access_database: Address
    jwt_secret: bytes
    jwt_secret_file: Path
    jwt_public_key_file: Path | None
    encryption_key: str
    encryption_key_file: Path | None
    snapshot_seconds: float
    shutdown_seconds: float
    virtual_key_scope: str
    auth: str
    cors_origins: tuple[str, ...]
    pages: str

    def __repr__(self) -> str:
        # The generated one would print secrets.
        return f"Settings(database={str(self.database)!r})"


def unknown_settings() -> list[str]:
    """Return a sentence for each environment variable that looks like a setting."""
    known = {setting.name for setting in SETTINGS.values()}
    unknown = sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known)
    return [f"{name} is no setting{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.85)
    return f"; did you mean {near[0]}?" if near else ""


def load_settings(overrides: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment; `overrides` count first.

    Raises SettingError for a wrong value and for an unknown override.
    """
    given = {**os.environ, **(overrides or {})}
    known = {setting.name for setting in SETTINGS.values()}
    if unknown := set(overrides or {}) - known:
        raise SettingError(f"{min(unknown)} is no setting; there are {sorted(known)}")
    parsed = {}
    for field in fields(Settings):
        setting = SETTINGS[field.name]
        # A variable set to nothing counts as not set, as in a query.
        value = str(given.get(setting.name) or setting.default)
        parsed[field.name] = setting.parse(setting.name, value)
    return Settings(**parsed)
