"""Writing a file so that nobody ever reads half of it."""

import os
from pathlib import Path


def replace_file(path: Path, text: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, over an old one; a link stays a link.

    Unless `mode` says more, only its owner may read it. Raises OSError.
    """
    path = path.resolve()
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with open(descriptor, "wb") as file:
            file.write(text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
