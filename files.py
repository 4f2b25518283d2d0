"""Reading small files, and writing files so that nobody ever reads half of one."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

SMALL_BYTES = 64 * 1024


def read_small_file(path: Path) -> bytes:
    """Return what is in a file, of 64 KiB at the most. Raises OSError.

    A pipe is refused: it could make us wait for ever, and be read only once.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", os.fspath(path))
        text = file.read(SMALL_BYTES + 1)
    if len(text) > SMALL_BYTES:
        raise OSError(errno.EFBIG, "it is too large", os.fspath(path))
    return text


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


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
