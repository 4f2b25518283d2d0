"""All commands, and the two ways to them: Flask's command and our own."""

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from typing import Any

import click
from flask import Flask

from commands.credentials import api_key, token
from commands.data import check, export, generate, load, pull
from commands.demo import demo
from commands.running import PROGRAM, fail
from commands.serve import serve
from commands.spend import spend

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


def register_commands(app: Flask) -> None:
    """Add our commands to the application's `flask` command."""
    for command in COMMANDS:
        app.cli.add_command(command)


def command_group(create_app: Callable[[], Flask]) -> click.Group:
    """Return the command `governance-lists`, which has our commands and no others.

    The application is made when a command runs; FLASK_APP and other applications'
    settings do not count.
    """

    @click.group(PROGRAM, commands=COMMANDS)
    @click.pass_context
    def group(context: click.Context) -> None:
        """Serve the governance lists of an AI gateway, and move data for them."""
        context.with_resource(create_app().app_context())

    return group


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
            fail("standard output is closed")
        if isinstance(sys.stdout, TextIOWrapper):
            # Names of files are shown as they are, in whatever encoding.
            sys.stdout.reconfigure(errors="surrogateescape")
        try:
            return callback(*args, **kwargs)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: click ends quietly
        except OSError as problem:
            fail(_sentence(problem))

    return run


def _sentence(problem: OSError) -> str:
    reason = (problem.strerror or str(problem)).lower()
    if problem.filename is not None:
        return f"{os.fsdecode(problem.filename)}: {reason}"
    printing = problem.errno in (errno.ENOSPC, errno.EBADF, errno.EIO)
    return f"cannot write to standard output: {reason}" if printing else reason


for each in COMMANDS:
    _fail_plainly(each)
