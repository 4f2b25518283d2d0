"""Open what a gateway keeps encrypted where rows are read; seal it where we write.

That is virtual keys' values, and MCP clients' addresses and headers. Providers' secrets
stay closed: nothing of them is ever shown.
"""

import os
from typing import Any

import values
from addresses import Address
from fields import report_broken
from models import Model, Row, encrypted_columns
from settings import SettingError, Settings
from store.cipher import open_value, seal_value
from store.failures import DatabaseUnavailable

ENCRYPTED = "encrypted"
PLAIN = "plain_text"
EMPTY = ("", "{}")  # what gateways leave as it is


class Encryption:
    """A gateway's encryption with a passphrase, to open and to seal rows.

    Without a passphrase, what is encrypted stays closed. One thread at a time may use
    it.
    """

    def __init__(self, passphrase: str = "") -> None:
        self._passphrase = passphrase.strip()  # as gateways do
        # Encrypted rows, as each table was last read, and what was made of them.
        self._made: dict[Model, dict[Row, Row]] = {}

    @property
    def has_key(self) -> bool:
        return bool(self._passphrase)

    def opened(self, model: Model, rows: list[Row]) -> list[Row]:
        """Return a table's rows as they were before they were encrypted.

        One that does not open has nothing where it is encrypted, and keeps its mark.
        """
        if not encrypted_columns(model):
            return rows
        known, self._made[model] = self._made.get(model, {}), {}
        return self._all_opened(model, rows, known)

    def opened_some(self, model: Model, rows: list[Row]) -> list[Row]:
        """Return some more rows of a table as they were before they were encrypted."""
        if not encrypted_columns(model):
            return rows
        return self._all_opened(model, rows, self._made.setdefault(model, {}))

    @property
    def has_opened(self) -> bool:
        """True if any of the rows that were read last was encrypted, and opened."""
        made = [row for rows in self._made.values() for row in rows.values()]
        return not all(map(_is_encrypted, made))

    @property
    def closed(self) -> int:
        """The number of the rows that were read last and did not open."""
        made = [pair for rows in self._made.values() for pair in rows.items()]
        return sum(row != seen and _is_encrypted(seen) for row, seen in made)

    def require_key(self, address: Address) -> None:
        """Raise DatabaseUnavailable if the key opens none of the rows that were read
        of a database.
        """
        if self.has_key and self.closed and not self.has_opened:
            raise DatabaseUnavailable(
                address,
                f"has {self.closed} encrypted rows, and GOVERNANCE_ENCRYPTION_KEY opens"
                " none of them: its gateway has another key",
            )

    def opened_values(self, model: Model, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row opened, or as it is stored where it does not open."""
        if row.get("encryption_status") != ENCRYPTED:
            return row
        opened = {n: self._open(text) for n, text in _secrets(model, row).items()}
        if not opened or None in opened.values():
            return row
        return row | opened | {"encryption_status": PLAIN}

    def sealed_values(self, model: Model, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row as a gateway with this passphrase would store it."""
        if not self.has_key or row.get("encryption_status") == ENCRYPTED:
            return row
        sealed = {
            name: seal_value(self._passphrase, text)
            for name, text in _secrets(model, row).items()
        }
        return row | sealed | {"encryption_status": ENCRYPTED} if sealed else row

    def _all_opened(
        self, model: Model, rows: list[Row], known: dict[Row, Row]
    ) -> list[Row]:
        return [
            self._opened_once(model, row, known)
            if row.encryption_status == ENCRYPTED
            else row
            for row in rows
        ]

    def _opened_once(self, model: Model, row: Row, known: dict[Row, Row]) -> Row:
        made = known.get(row) or self._opened(model, row)
        self._made[model][row] = made
        return made

    def _opened(self, model: Model, row: Row) -> Row:
        stored = row._asdict()
        opened = self.opened_values(model, stored)
        if opened is not stored:
            return row._replace(**opened)
        closed = _secrets(model, stored)
        if self.has_key and closed:
            problem = "does not open with GOVERNANCE_ENCRYPTION_KEY"
            report_broken(model._meta.table_name, row.id, next(iter(closed)), problem)
        return row._replace(**dict.fromkeys(closed))

    def _open(self, sealed: str) -> str | None:
        return open_value(self._passphrase, sealed) if self.has_key else None


def load_encryption(settings: Settings) -> Encryption:
    """Return the encryption with the configured key.

    Raises SettingError if the file with the key cannot be read.
    """
    path = settings.encryption_key_file
    if settings.encryption_key or path is None:
        return Encryption(settings.encryption_key)
    try:
        passphrase = os.fsdecode(path.read_bytes()).strip()
    except OSError as problem:
        reason = (problem.strerror or "cannot be read").lower()
    else:
        if passphrase:
            return Encryption(passphrase)
        reason = "is empty"
    raise SettingError(f"GOVERNANCE_ENCRYPTION_KEY_FILE {path}: {reason}")


def _secrets(model: Model, row: dict[str, Any]) -> dict[str, str]:
    """Return the columns of a row that a gateway with a key encrypts, as texts."""
    texts = {name: values.text(row[name]) for name in encrypted_columns(model)}
    return {
        name: text
        for name, text in texts.items()
        if text not in EMPTY
        and not (name == "connection_string" and values.reference(text))
    }


def _is_encrypted(row: Row) -> bool:
    return bool(row.encryption_status == ENCRYPTED)
