"""The commands for credentials: management API keys, and JWTs for testing."""

import json
from datetime import timedelta

import click
from flask.cli import AppGroup

from callers import api_keys, tokens
from commands.lifetimes import Lifetime
from commands.running import current_settings, fail
from store.failures import DatabaseUnavailable

api_key = AppGroup("api-key", help="Management API keys: create, list, revoke.")


@api_key.command("create")
@click.argument("name")
@click.option(
    "--expires", type=Lifetime(), help="For example 90d; never, if not given."
)
def create_api_key(name: str, expires: timedelta | None) -> None:
    """Make a key and print it, the only time that it is seen."""
    keys = current_settings().access_database
    try:
        key = api_keys.create_api_key(keys, name, expires)
    except api_keys.ApiKeyError as problem:
        fail(str(problem))
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
        rows = api_keys.list_api_keys(current_settings().access_database)
    except DatabaseUnavailable as problem:
        fail(str(problem))
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
        api_keys.revoke_api_key(current_settings().access_database, name)
    except api_keys.ApiKeyError as problem:
        fail(str(problem))
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

    path = current_settings().database
    try:
        keys = {row.id for row in read_once(path, (VirtualKey,), REQUIRED)[VirtualKey]}
    except DatabaseUnavailable as problem:
        return str(problem)
    if virtual_key_id in keys:
        return None
    return f'there is no virtual key "{virtual_key_id}" in {path}'


def _print_token(role: str, subject: str, expires: timedelta) -> None:
    settings = current_settings()
    file = settings.jwt_secret_file
    secret = settings.jwt_secret or tokens.read_secret(file)
    if not secret:
        secret = tokens.make_secret_file(file)
        click.echo(f"made the secret file {file}", err=True)
    click.echo(tokens.make_token(secret, role, subject, expires.total_seconds()))
