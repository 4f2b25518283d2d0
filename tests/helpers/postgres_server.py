"""A PostgreSQL server for the tests, in a temporary folder, on a loopback address."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

ADMIN = "tests"
START_SECONDS = 20


class NoServer(Exception):
    """PostgreSQL cannot be started here; the text says why."""


class Server:
    """One running server. `url` names one of its databases."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder = folder
        self.host = host
        self.port = free_port(host)
        self.data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def new(cls) -> "Server":
        """Return a server with nothing in it. Raises NoServer."""
        server = cls(make_folder())
        run("initdb", "--no-sync", "-A", "trust", "-U", ADMIN, "-E", "UTF8",
            "--locale=C.UTF-8", "-D", str(server.data))  # fmt: skip
        (server.data / "pg_hba.conf").write_text(
            "host all +needs_password all scram-sha-256\n"
            "host all +shut_out all reject\n"
            "host all all all trust\n"
            "host replication all all trust\n"
        )
        server.start()
        for role in ("needs_password", "shut_out"):
            server.execute("postgres", f"CREATE ROLE {role}")
        return server

    def replica(self, host: str = "127.0.0.1") -> "Server":
        """Return a running streaming replica of this server."""
        replica = Server(make_folder(), host)
        run("pg_basebackup", "--no-sync", "-R", "-c", "fast", "-D", str(replica.data),
            "-d", f"postgresql://{ADMIN}@{self.host}:{self.port}/postgres")  # fmt: skip
        replica.start()
        return replica

    def start(self, **options: Any) -> None:
        options = {
            "port": self.port,
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 40,
            "max_prepared_transactions": 4,
            "log_statement": "none",
            **options,
        }
        given = [f"-c{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self.data), *given],
                stdout=log,
                stderr=log,
                **as_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as problem:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise NoServer(self.log()[-2000:]) from problem
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends connections at once, SIGQUIT as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT, **options: Any) -> None:
        self.stop(how)
        self.start(**options)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Let it hang: its processes are stopped, its sockets stay."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def promote(self) -> None:
        """Make a primary of a replica."""
        self.fetch("postgres", "SELECT pg_promote()")

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        parent = self._process.pid
        task = Path(f"/proc/{parent}/task/{parent}/children")
        for pid in (parent, *map(int, task.read_text().split())):
            with suppress(ProcessLookupError):  # some come and go by themselves
                os.kill(pid, number)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def url(self, database: str, user: str = ADMIN, query: str = "") -> str:
        return f"postgresql://{user}@{self.host}:{self.port}/{database}{query}"

    def connect(self, database: str, user: str = ADMIN) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.url(database, user), autocommit=True)

    def execute(self, database: str, *statements: str) -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def fetch(self, database: str, query: str) -> list[Any]:
        with self.connect(database) as connection:
            return connection.execute(query).fetchall()

    def create_database(self, name: str, encoding: str = "UTF8") -> str:
        """Make a database, in place of one of that name; return its URL."""
        self.execute(
            "postgres",
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING '{encoding}'"
            " LOCALE 'C'",
        )
        return self.url(name)


def program(name: str) -> str:
    """Return where one of PostgreSQL's programs is, of the newest version there is."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0),
    )
    for folder in reversed(folders):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise NoServer(f"PostgreSQL is not installed: there is no {name}")
    return found


def run(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [program(name), *arguments], capture_output=True, check=False, **as_user()
    )
    if done.returncode:
        raise NoServer(done.stderr.decode(errors="replace")[-2000:])


def as_user() -> dict[str, Any]:
    """Whom the server runs as: it does not run as root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise NoServer("root cannot run it, and there is no user postgres") from None
    return {
        "user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"
    }  # fmt: skip


def make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="governance-postgres-"))
    who = as_user()
    if "user" in who:
        os.chown(folder, who["user"], who["group"])
    return folder


def free_port(host: str) -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def start_or_skip() -> Server:
    try:
        return Server.new()
    except (NoServer, OSError) as problem:
        pytest.skip(f"needs a PostgreSQL server: {problem}")
