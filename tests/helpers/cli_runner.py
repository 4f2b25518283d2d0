"""Commands, run as the `flask` program runs them."""

from collections.abc import Callable
from typing import Any

from click.testing import Result
from flask import Flask
from flask.cli import FlaskGroup

Run = Callable[..., Result]


def run_in(app: Flask, *args: Any) -> Result:
    program = FlaskGroup(create_app=lambda: app)
    return app.test_cli_runner().invoke(program, list(map(str, args)))
