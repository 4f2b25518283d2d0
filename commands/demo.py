"""The command that shows the service with data and a key, ready to try."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app

from addresses import Address
from callers import api_keys, tokens
from commands.running import current_settings, fail
from commands.serve import prepare, run_service, serving_options
from settings import SETTINGS, Settings
from store.failures import DatabaseUnavailable

DEMO_DATA = Path(__file__).parent.parent / "data" / "demo.json"
DEMO_KEY = "flask-demo"  # a name that nobody else takes


@click.command()
@serving_options
def demo(**given: Any) -> None:
    """Serve, with demo data where there is no database yet, and print curl lines."""
    options = prepare(**given)
    settings = current_settings()
    default = Path(SETTINGS["database"].default)
    if settings.database == default and not default.exists():
        _load_demo(settings.database)
    try:
        key = demo_key(settings)
    except (api_keys.ApiKeyError, DatabaseUnavailable) as problem:
        fail(str(problem))
    paths = ("/api/governance/teams", "/api/governance/customers")
    lines = [f"curl -H 'Authorization: Bearer {key}' '{{url}}{path}'" for path in paths]
    from web.serving.server import end_process

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    end_process(run_service(app, options, lines=lines))


def _load_demo(database: Path) -> None:
    from store.own import NotOurs
    from transfer import loading

    try:
        loading.load_files([DEMO_DATA], database)
    except NotOurs as problem:
        fail(str(problem))


def demo_key(settings: Settings) -> str:
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
