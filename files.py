"""Writing a file so that nobody ever reads half of it."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, text: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, over an old one; a link stays a link.

    Unless `mode` says more, only its owner may read it. Raises OSError, which names
    the file.
    """
    path = path.resolve()
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with open(descriptor, "wb") as file:
            file.write(text)
        new.replace(path)
    except OSError as problem:
        problem.filename = os.fspath(path)  # the name that the user gave
        raise
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
