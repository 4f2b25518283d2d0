"""The commands for data: load, pull, generate, export, check.

Thin wrappers; each imports what it needs when it runs, so that serving starts fast.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from addresses import Address, postgres_url
from commands.lifetimes import Lifetime
from commands.running import current_encryption, current_settings, fail, program

SHOWN_NOTES = 20


class Source(click.ParamType):
    """The name of a file, or a PostgreSQL database's URL."""

    name = "file"

    def convert(self, value: Any, *args: Any) -> Address:
        return postgres_url(value) or Path(value)


@click.command()
@click.argument("files", nargs=-1, required=True, type=Source())
@click.option("--replace", is_flag=True, help="Remove what is not in the files.")
@click.option("--strict", is_flag=True, help="Take nothing if a part is passed over.")
def load(files: tuple[Address, ...], replace: bool, strict: bool) -> None:
    """Load files into our own database: all of it or nothing.

    A gateway's config.json, what a gateway answered, its database (a file, or
    postgresql://…), or lists written by hand; - is standard input.
    """
    from transfer.loading import load_files

    def load_all(into: Address) -> Any:
        return load_files(
            files, into, replace=replace, strict=strict, encryption=current_encryption()
        )

    click.echo(_summary(load_into(_database(), load_all)))


@click.command()
@click.argument("url")
@click.option("--keep", is_flag=True, help="Keep what is gone at the gateway.")
@click.option("--every", type=Lifetime(), help="Go on following, for example 30s.")
def pull(url: str, keep: bool, every: timedelta | None) -> None:
    """Read a live gateway into our own database.

    Credentials come from GATEWAY_TOKEN, or GATEWAY_USER and GATEWAY_PASSWORD.
    """
    from transfer import pulling
    from transfer.loading import load_documents

    def load_pulled(documents: Any, into: Address) -> Any:
        return load_documents(
            documents, into, replace=not keep, encryption=current_encryption()
        )

    try:
        credentials = pulling.Credentials.from_environment(os.environ)
        if every is None:
            documents = pulling.pull(url, credentials, _progress)
            loaded = load_into(_database(), partial(load_pulled, documents))
            click.echo(_summary(loaded))
            return
    except pulling.PullError as problem:
        fail(str(problem))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    seconds = every.total_seconds()

    def load_round(documents: Any) -> str:
        return _summary(load_pulled(documents, _database()))

    pulling.follow(url, credentials, seconds, load_round, _progress, stop)


@click.command()
@click.option("--customers", default=40, show_default=True, type=click.IntRange(0))
@click.option("--teams", default=3, show_default=True, type=click.IntRange(0))
@click.option("--keys", default=5, show_default=True, type=click.IntRange(0))
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--replace", is_flag=True, help="Replace what is in the database.")
def generate(customers: int, teams: int, keys: int, seed: int, replace: bool) -> None:
    """Make believable data: averages of teams a customer and keys a team."""
    from samples.generating import GenerateError
    from samples.generating import generate as run
    from store.own import NotOurs

    label = f"making {customers * teams * keys} virtual keys"
    with click.progressbar(
        length=customers * teams * keys, label=label, file=sys.stderr
    ) as bar:
        try:
            counts = run(
                _database(),
                customers=customers,
                teams=teams,
                keys=keys,
                seed=seed,
                replace=replace,
                encryption=current_encryption(),
                progress=lambda done, _: bar.update(done - bar.pos),
            )
        except (GenerateError, NotOurs) as problem:
            fail(str(problem))
    made = ", ".join(f"{count} {noun}" for noun, count in counts.items())
    click.echo(f"generated into {_database()}: {made.replace('_', ' ')}")


@click.command()
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--layout",
    default="older",
    show_default=True,
    type=click.Choice(["older", "newer"]),
)
@click.option("--with-secrets", is_flag=True, help="Virtual keys' values too.")
def export(file: Path, layout: Any, with_secrets: bool) -> None:
    """Write our database as a gateway's config.json; - is standard output."""
    from store.failures import DatabaseUnavailable
    from transfer.export_notes import left_out, named_twice, passed_over
    from transfer.exporting import ExportError, export_config, write_config

    try:
        rows = _rows()
        config = export_config(rows, layout=layout, with_secrets=with_secrets)
        write_config(config, file, with_secrets=with_secrets)
    except DatabaseUnavailable as problem:
        fail(str(problem))
    except ExportError as wrong:
        _fail_with(wrong.problems, "nothing was exported")
    notes = left_out(rows, with_secrets=with_secrets)
    notes += passed_over(config) if layout == "older" else named_twice(config)
    for line in notes:
        click.echo(f"note: {line}", err=True)
    if with_secrets and current_encryption().has_opened:
        click.echo("note: what is encrypted here goes out in plain", err=True)
    if not with_secrets:
        note = "note: without virtual keys' values; loading it makes new ones"
        click.echo(note, err=True)
    if str(file) != "-":
        click.echo(f"exported {_database()} to {file}")


@click.command()
@click.argument("files", nargs=-1, type=Source())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(files: tuple[Address, ...], as_json: bool) -> None:
    """Report all that is wrong or unusual in the database, or in files.

    Exits with 0 if there is nothing, 1 if there is something, 2 if it cannot be read.
    """
    from store.failures import DatabaseUnavailable
    from transfer.checking import check_rows, count
    from transfer.loading import LoadError, check_files

    try:
        rows, wrong = (
            check_files(files, current_encryption()) if files else (_rows(), [])
        )
    except (DatabaseUnavailable, LoadError) as problem:
        click.echo(str(problem), err=True)
        sys.exit(2)
    # Findings in rows of a wrong file would only repeat what is wrong.
    findings = [] if wrong and files else check_rows(rows)
    if as_json:
        listed = [vars(finding) for finding in findings]
        report = {"counts": count(rows), "wrong": wrong, "findings": listed}
        click.echo(json.dumps(report))
    else:
        for noun, number in count(rows).items():
            click.echo(f"{number} {noun.replace('_', ' ')}")
        for line in [*wrong, *map(str, findings)]:
            click.echo(line)
    sys.exit(1 if wrong or findings else 0)


def load_into(database: Address, load: Callable[[Address], Any]) -> Any:
    """Load into a database of ours; return what was loaded.

    Prints notes, and ends the command where nothing could be loaded.
    """
    from store.own import NotOurs
    from transfer.loading import LoadError

    try:
        loaded = load(database)
    except LoadError as wrong:
        _note(wrong.notes)
        _fail_with(wrong.problems, "nothing was loaded")
    except NotOurs as problem:
        fail(str(problem))
    _note(loaded.notes)
    return loaded


def _note(notes: Sequence[str]) -> None:
    for note in notes[:SHOWN_NOTES]:
        click.echo(f"note: {note}", err=True)
    if len(notes) > SHOWN_NOTES:
        more = len(notes) - SHOWN_NOTES
        all_of_them = f"{program()} check lists them all"
        click.echo(f"note: and {more} more; {all_of_them}", err=True)


def _summary(loaded: Any) -> str:
    counts = ", ".join(f"{number} {what}" for what, number in loaded.counts.items())
    return f"loaded into {_database()}: rows {counts}"


def _rows() -> Any:
    from models import MODELS, REQUIRED
    from store.readers import read_once

    return read_once(_database(), MODELS, REQUIRED, current_encryption())


def _database() -> Address:
    return current_settings().database


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _fail_with(problems: list[str], result: str) -> NoReturn:
    for problem in problems:
        click.echo(problem, err=True)
    fail(f"{result}: {len(problems)} found wrong")
