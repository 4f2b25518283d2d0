"""The command that serves."""

import json
from typing import Any

import click
from flask import current_app

from commands.running import current_settings, fail, program
from store.failures import DatabaseUnavailable


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
@click.option("--metrics", is_flag=True, help="Answer /metrics, for Prometheus.")
def serve(host: str, port: int, workers: int, metrics: bool) -> None:
    """Serve the two lists; prints "ready {...}" once they answer."""
    if metrics:
        _add_metrics()
    run_service(host, port, workers, [])


def run_service(host: str, port: int, workers: int, lines: list[str]) -> None:
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
        fail(str(problem))
    except DatabaseUnavailable as problem:
        fail(f"{problem}. {_way_out(problem)}")


def _add_metrics() -> None:
    from web.metrics import add_metrics  # others do without the Prometheus client

    add_metrics(current_app._get_current_object())  # type: ignore[attr-defined]


def _way_out(problem: DatabaseUnavailable) -> str:
    settings = current_settings()
    if problem.path == settings.access_database:
        return "It holds the API keys; name another in GOVERNANCE_ACCESS_DATABASE."
    return (
        "Name a gateway's database in GOVERNANCE_DATABASE,"
        f" or make one with: {program()} generate"
    )
