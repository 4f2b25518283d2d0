"""The data, credentials and folder that one run of `serve` has for itself alone.

The folder is among the system's temporary files. Only this user may look into it, and
it is removed when the run ends; those of runs that were killed, by a later run.
"""

import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from addresses import Address, PostgresUrl
from callers.api_keys import create_api_key

PREFIX = "governance-lists-"
NEW_SECONDS = 60  # a folder that is so new may not be locked yet
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StandIn:
    """The private files of a run, and what they change in the application's settings.

    `settings` go to create_app(), before those of the environment; `ready` is added to
    the ready line. This run may write `database` and `access_database` as it likes;
    they are None where those of others are served. `serve --control` builds on this:
    its routes change these files, and its token belongs into `ready`.
    """

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.ready: dict[str, Any] = {}
        self.database: Path | None = None
        self.access_database: Path | None = None
        self._stack = ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def folder(self) -> Path:
        """Return the folder for this run's private files, made at the first call."""
        if self._folder is None:
            self._folder = self._stack.enter_context(private_folder())
        return self._folder

    def serve_in_place(self, database: Address) -> None:
        """Have a database of others served, which is only read."""
        if isinstance(database, PostgresUrl):
            self.settings["GOVERNANCE_DATABASE"] = database.conninfo
        else:
            self.settings["GOVERNANCE_DATABASE"] = str(database.absolute())

    def use_private_database(self) -> Path:
        """Have a database of this run served; return the path to make it at."""
        self.database = self.folder() / "governance.db"
        self.settings["GOVERNANCE_DATABASE"] = str(self.database)
        return self.database

    def use_private_secret(self) -> None:
        """Have tokens signed with a secret of this run only, which is kept nowhere."""
        self.settings["GOVERNANCE_JWT_SECRET"] = secrets.token_hex(32)

    def use_private_keys(self) -> str:
        """Have API keys of this run only; make one, for the ready line, and return it.

        Raises ApiKeyError.
        """
        self.access_database = self.folder() / "access.db"
        self.settings["GOVERNANCE_ACCESS_DATABASE"] = str(self.access_database)
        key: str = create_api_key(self.access_database, "this run")
        self.ready["api_key"] = key
        return key


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder, and remove it at the end, where a signal ends the process, too."""
    _remove_left_over(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
    # Held by this process and its workers for as long as one of them lives.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with _removed_on_signals(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _removed_on_signals(folder: Path) -> Iterator[None]:
    """Remove the folder where a signal ends the process before it blocks signals."""

    def end(number: int, _: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    heeded = [n for n in ENDING if signal.getsignal(n) != signal.SIG_IGN]
    before = [(number, signal.signal(number, end)) for number in heeded]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _remove_left_over(place: Path) -> None:
    """Remove the folders that killed runs left, of which no process holds the lock."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            is_old = time.time() - status.st_mtime > NEW_SECONDS
            if is_old and status.st_uid == os.getuid():
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
