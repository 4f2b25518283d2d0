"""The parts that all commands need: their application, and a way to fail."""

from typing import NoReturn

import click
from flask import current_app

from settings import Settings
from store.encryption import Encryption

PROGRAM = "governance-lists"


def current_settings() -> Settings:
    """Return the settings of the application."""
    found: Settings = current_app.extensions["settings"]
    return found


def current_encryption() -> Encryption:
    """Return what opens and closes encrypted values of the application."""
    found: Encryption = current_app.extensions["encryption"]
    return found


def program() -> str:
    """Return how the running program is typed, for advice in messages."""
    name = click.get_current_context().find_root().info_name
    return PROGRAM if name == PROGRAM else "flask --app app"


def fail(sentence: str) -> NoReturn:
    """End the command with a sentence and exit status 1."""
    raise click.ClickException(sentence)
