"""Doing things as a user who is not root."""

import os
import warnings
from collections.abc import Callable

NOBODY = 65534


def as_nobody(function: Callable[[], object]) -> str:
    """Return what a function returns, or raises, for a user who may do little."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of threads, of which the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            result = str(function())
        except BaseException as problem:
            result = f"{type(problem).__name__}: {problem}"
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading) as pipe:
        return pipe.read()
