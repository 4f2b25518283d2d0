"""The command that serves: what is configured, a gateway's database, or files."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from flask import Flask, current_app

from addresses import Address, PostgresUrl
from commands.control import add_control, add_faults, make_empty
from commands.data import Source, load_into
from commands.running import current_encryption, fail, program
from commands.stand_in import StandIn
from settings import Settings
from store.failures import DatabaseUnavailable
from store.files import replace_file
from store.locations import is_database
from web.serving.interrupts import STARTED_BY

if TYPE_CHECKING:
    from socket import socket


@dataclass(frozen=True)
class Options:
    """The options that all commands that serve have."""

    host: str
    port: int
    unix: Path | None
    workers: int
    ready_file: Path | None
    exit_with_parent: bool


def serving_options(function: Any) -> Any:
    """Add the options of the commands that serve."""
    file = click.Path(path_type=Path)
    for option in (
        click.option(
            "--exit-with-parent",
            is_flag=True,
            help="End when the process that started this one ends.",
        ),
        click.option(
            "--ready-file",
            type=file,
            help="Write the ready line's JSON to this file; removed at the end.",
        ),
        click.option("--workers", default=1, show_default=True, type=click.IntRange(1)),
        click.option("--unix", type=file, help="Listen on a Unix socket at this path."),
        click.option(
            "--port", default=8080, show_default=True, type=click.IntRange(0, 65535)
        ),
        click.option("--host", default="127.0.0.1", show_default=True),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("files", nargs=-1, type=Source())
@serving_options
@click.option("--print-key", is_flag=True, help="Make an API key for this run alone.")
@click.option("--wait", is_flag=True, help="Wait for a database that is not there yet.")
@click.option("--metrics", is_flag=True, help="Answer /metrics, for Prometheus.")
@click.option("--control", is_flag=True, help="Let tests drive it, under /_control/.")
@click.option(
    "--faults", is_flag=True, help="Fail if asked to, as by Prefer: code=503."
)
def serve(
    files: tuple[Address, ...],
    print_key: bool,
    wait: bool,
    metrics: bool,
    control: bool,
    faults: bool,
    **given: Any,
) -> None:
    """Serve the two lists; prints "ready {...}" once they answer.

    With FILES, serve a gateway's database (a file, or postgresql://…) where it is; load
    any others, as `load` does, into a private database that is gone at the end. With
    --control and no FILES, that database is empty.
    """
    from web.serving.server import end_process

    options = prepare(**given)
    if control and options.workers > 1:
        fail("--control takes one worker: what it changes is kept in one process")
    with StandIn() as stand_in:
        if _is_served_in_place(files, wait):
            stand_in.serve_in_place(files[0])
        elif files:
            _load(files, stand_in.use_private_database())
        elif control:
            make_empty(stand_in.use_private_database())
        if control:
            stand_in.use_private_secret()
        if print_key or control:
            stand_in.use_private_keys()
        app = _application(stand_in.settings)
        if metrics:
            _add_metrics(app)
        if control or faults:
            add_faults(app, by_header=faults)
        if control:
            stand_in.ready["control_token"] = add_control(app, stand_in.database)
        status = run_service(app, options, ready=stand_in.ready, wait=wait)
    end_process(status)


def prepare(**given: Any) -> Options:
    """Return the options that were given, and take care of those that count at once."""
    options = Options(**given)
    if options.exit_with_parent:
        from web.serving.parent import end_with

        end_with(STARTED_BY)
    if options.unix is not None and (_was_given("host") or _was_given("port")):
        raise click.UsageError("--unix and --host or --port exclude each other")
    if file := options.ready_file:
        if not file.absolute().parent.is_dir():
            fail(f"--ready-file {file}: there is no such folder")
        if file.exists() and not file.is_file():
            fail(f"--ready-file {file}: it is not a file")
        file.resolve().unlink(missing_ok=True)  # an earlier run's
    return options


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source == ParameterSource.COMMANDLINE


def run_service(
    app: Flask,
    options: Options,
    *,
    lines: list[str] | None = None,
    ready: dict[str, Any] | None = None,
    wait: bool = False,
) -> int:
    """Serve until a signal, and return the status to end the process with.

    When it answers, print the ready line, with more members if given, and further
    lines. Ends the command where it cannot be served.
    """
    from web.serving import server  # other commands need none
    from web.serving.listening import CannotListen

    def announce(state: dict[str, Any]) -> None:
        text = json.dumps(state | (ready or {}))
        if options.ready_file:
            replace_file(options.ready_file, f"{text}\n".encode())
        click.echo(f"ready {text}")
        for line in lines or ():
            click.echo(line.format(url=state["url"]))

    try:
        with _removed_at_the_end(options.ready_file), _listener(options) as listener:
            return server.serve(app, listener, options.workers, announce, wait=wait)
    except (server.CannotServe, CannotListen) as problem:
        fail(str(problem))
    except DatabaseUnavailable as problem:
        fail(f"{problem}. {_way_out(problem, app)}")


@contextmanager
def _removed_at_the_end(file: Path | None) -> Iterator[None]:
    """Remove the ready file at the end, unless it is another process's by then."""
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError, ValueError):
                if json.loads(file.read_bytes())["pid"] == os.getpid():
                    file.resolve().unlink()


def _listener(options: Options) -> AbstractContextManager["socket"]:
    """Return what the options say to listen on. Raises CannotListen."""
    if options.unix is not None:
        from web.serving.unix_socket import listening_at

        return listening_at(options.unix)
    from web.serving.listening import listen

    return nullcontext(listen(options.host, options.port))


def _is_served_in_place(files: tuple[Address, ...], wait: bool) -> bool:
    """Return whether a gateway's database is to be served, rather than files loaded.

    One that is waited for may not be there yet, or be empty: SQLite makes it so.
    """
    from transfer.sources import STANDARD_INPUT  # without files it is not needed

    if len(files) != 1:
        return False
    (file,) = files
    if file == STANDARD_INPUT:
        return False
    if isinstance(file, PostgresUrl) or is_database(file):
        return True
    return wait and (not file.exists() or (file.is_file() and not file.stat().st_size))


def _load(files: tuple[Address, ...], database: Path) -> None:
    from transfer.loading import load_files

    def load(into: Address) -> Any:
        return load_files(files, into, encryption=current_encryption())

    load_into(database, load)


def _application(settings: dict[str, str]) -> Flask:
    """Return the application with these settings before those of the environment."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if not settings:
        return app
    made: Flask = app.extensions["create_app"](settings)
    return made


def _add_metrics(app: Flask) -> None:
    from web.metrics.metrics import (
        add_metrics,  # others do without the Prometheus client
    )

    add_metrics(app)


def _way_out(problem: DatabaseUnavailable, app: Flask) -> str:
    settings: Settings = app.extensions["settings"]
    if problem.path == settings.access_database:
        return "It holds the API keys; name another in GOVERNANCE_ACCESS_DATABASE."
    return (
        "Name a gateway's database in GOVERNANCE_DATABASE,"
        f" or make one with: {program()} generate"
    )
