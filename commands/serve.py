"""The command line: thin wrappers over plain functions. Here are those that serve and
those for credentials; data_commands.py has the others.
"""

import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from addresses import Address
from callers import api_keys, tokens
from commands.data import check, export, generate, load, pull
from commands.lifetimes import Lifetime
from commands.spend import spend
from settings import SETTINGS, Settings
from store.failures import DatabaseUnavailable

DEMO_DATA = Path(__file__).parent.parent / "data" / "demo.json"
DEMO_KEY = "flask-demo"  # a name that nobody else takes


def _sentence(problem: OSError) -> str:
    reason = (problem.strerror or str(problem)).lower()
    if problem.filename is not None:
        return f"{os.fsdecode(problem.filename)}: {reason}"
    printing = problem.errno in (errno.ENOSPC, errno.EBADF, errno.EIO)
    return f"cannot write to standard output: {reason}" if printing else reason


def register_commands(app: Flask) -> None:
    """Add our commands to the application's `flask` command."""
    for command in COMMANDS:
        app.cli.add_command(command)


def _fail_plainly(command: click.Command) -> None:
    """Let a command end with a sentence where it cannot read, write or print."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _fail_plainly(each)
    elif command.callback is not None:
        command.callback = _with_sentences(command.callback)


def _with_sentences(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def run(*args: Any, **kwargs: Any) -> Any:
        if sys.stdout is None:
            _fail("standard output is closed")
        if isinstance(sys.stdout, TextIOWrapper):
            # Names of files are shown as they are, in whatever encoding.
            sys.stdout.reconfigure(errors="surrogateescape")
        try:
            return callback(*args, **kwargs)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: click ends quietly
        except OSError as problem:
            _fail(_sentence(problem))

    return run


def listening(function: Any) -> Any:
    """The options of the commands that serve."""
    for option in (
        click.option("--workers", default=1, show_default=True, type=click.IntRange(1)),
        click.option(
            "--port", default=8080, show_default=True, type=click.IntRange(0, 65535)
        ),
        click.option("--host", default="127.0.0.1", show_default=True),
    ):
        function = option(function)
    return function


@click.command()
@listening
def serve(host: str, port: int, workers: int) -> None:
    """Serve the two lists; prints "ready {...}" once they answer."""
    _serve(host, port, workers, [])


@click.command()
@listening
def demo(host: str, port: int, workers: int) -> None:
    """Serve, with demo data where there is no database yet, and print curl lines."""
    settings = _settings()
    default = Path(SETTINGS["database"].default)
    if settings.database == default and not default.exists():
        _load_demo(settings.database)
    try:
        key = _demo_key(settings)
    except (api_keys.ApiKeyError, DatabaseUnavailable) as problem:
        _fail(str(problem))
    paths = ("/api/governance/teams", "/api/governance/customers")
    lines = [f"curl -H 'Authorization: Bearer {key}' '{{url}}{path}'" for path in paths]
    _serve(host, port, workers, lines)


def _load_demo(database: Path) -> None:
    from store.own import NotOurs
    from transfer import loading

    try:
        loading.load_files([DEMO_DATA], database)
    except NotOurs as problem:
        _fail(str(problem))


def _serve(host: str, port: int, workers: int, lines: list[str]) -> None:
    from web import server  # other commands need none
    from web.listening import CannotListen

    def announce(state: dict[str, Any]) -> None:
        click.echo(f"ready {json.dumps(state)}")
        for line in lines:
            click.echo(line.format(url=state["url"]))

    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        server.serve(app, host, port, workers, announce)
    except (server.CannotServe, CannotListen) as problem:
        _fail(str(problem))
    except DatabaseUnavailable as problem:
        _fail(f"{problem}. {_way_out(problem)}")


def _way_out(problem: DatabaseUnavailable) -> str:
    settings = _settings()
    if problem.path == settings.access_database:
        return "It holds the API keys; name another in GOVERNANCE_ACCESS_DATABASE."
    return (
        "Name a gateway's database in GOVERNANCE_DATABASE,"
        " or make one with: flask --app app load data/demo.json"
    )


def _demo_key(settings: Settings) -> str:
    """A management API key that works and can be shown: kept in a file beside them."""
    file = _demo_key_file(settings.access_database)
    reader = api_keys.ApiKeyReader(settings.access_database)
    try:
        key = file.read_text().strip()
        row = reader.find(key)
        if row is not None and not row.revoked_at:
            return key
    except FileNotFoundError:
        pass
    finally:
        reader.close()
    with suppress(api_keys.ApiKeyError):  # there may be none
        api_keys.revoke_api_key(settings.access_database, DEMO_KEY)
    key = api_keys.create_api_key(settings.access_database, DEMO_KEY)
    tokens.write_private(file, key.encode())
    return key


def _demo_key_file(keys: Address) -> Path:
    file = keys if isinstance(keys, Path) else Path(SETTINGS["access_database"].default)
    return file.with_name("demo-api-key")


api_key = AppGroup("api-key", help="Management API keys: create, list, revoke.")


@api_key.command("create")
@click.argument("name")
@click.option(
    "--expires", type=Lifetime(), help="For example 90d; never, if not given."
)
def create_api_key(name: str, expires: timedelta | None) -> None:
    """Make a key and print it, the only time that it is seen."""
    keys = _settings().access_database
    try:
        key = api_keys.create_api_key(keys, name, expires)
    except api_keys.ApiKeyError as problem:
        _fail(str(problem))
    try:
        click.echo(key)
    except OSError:
        api_keys.revoke_api_key(keys, name)  # nobody has seen it, and nobody will
        raise


@api_key.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_api_keys(as_json: bool) -> None:
    """Print name, first characters, created, expires, revoked; never the key."""
    try:
        rows = api_keys.list_api_keys(_settings().access_database)
    except DatabaseUnavailable as problem:
        _fail(str(problem))
    names = ("name", "shown", "created_at", "expires_at", "revoked_at")
    table = [{name: getattr(row, name) for name in names} for row in rows]
    if as_json:
        click.echo(json.dumps(table))
        return
    line = "{:<24}  {:<12}  {:<20}  {:<20}  {:<20}"
    click.echo(line.format("NAME", "KEY", "CREATED", "EXPIRES", "REVOKED").rstrip())
    for row in table:
        click.echo(line.format(*(row[name] or "-" for name in names)).rstrip())


@api_key.command("revoke")
@click.argument("name")
def revoke_api_key(name: str) -> None:
    """Revoke a key; counts from the next request on."""
    try:
        api_keys.revoke_api_key(_settings().access_database, name)
    except api_keys.ApiKeyError as problem:
        _fail(str(problem))
    click.echo(f'revoked "{name}"')


token = AppGroup("token", help="JWTs for testing: an admin's, a virtual key's.")

lifetime_option = click.option(
    "--expires", type=Lifetime(), default="1h", show_default=True
)


@token.command("admin")
@lifetime_option
def admin_token(expires: timedelta) -> None:
    """Print an admin JWT."""
    _print_token("admin", "admin", expires)


@token.command("virtual-key")
@click.argument("virtual_key_id")
@lifetime_option
def virtual_key_token(virtual_key_id: str, expires: timedelta) -> None:
    """Print a virtual key's JWT."""
    if problem := _virtual_key_problem(virtual_key_id):
        click.echo(f"note: {problem}", err=True)
    _print_token("virtual_key", virtual_key_id, expires)


def _virtual_key_problem(virtual_key_id: str) -> str | None:
    """Return why a virtual key's token would be of no use now."""
    from models import REQUIRED, VirtualKey
    from store.readers import read_once

    path = _settings().database
    try:
        keys = {row.id for row in read_once(path, (VirtualKey,), REQUIRED)[VirtualKey]}
    except DatabaseUnavailable as problem:
        return str(problem)
    if virtual_key_id in keys:
        return None
    return f'there is no virtual key "{virtual_key_id}" in {path}'


def _print_token(role: str, subject: str, expires: timedelta) -> None:
    settings = _settings()
    secret = settings.jwt_secret or tokens.read_secret(settings.jwt_secret_file)
    if not secret:
        secret = tokens.make_secret_file(settings.jwt_secret_file)
        click.echo(f"made the secret file {settings.jwt_secret_file}", err=True)
    click.echo(tokens.make_token(secret, role, subject, expires.total_seconds()))


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _fail(sentence: str) -> NoReturn:
    raise click.ClickException(sentence)


COMMANDS: tuple[click.Command, ...] = (
    serve,
    demo,
    load,
    pull,
    generate,
    export,
    check,
    spend,
    api_key,
    token,
)
for each in COMMANDS:
    _fail_plainly(each)
