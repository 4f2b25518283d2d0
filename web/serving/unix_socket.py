"""Listening on a Unix socket: a file through which programs of one user connect."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from web.serving.listening import BACKLOG, CannotListen

LONGEST_BYTES = 107  # of a path, as the kernel takes it (unix(7))


@contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """Listen at a path, which only this user may connect to (mode 0600).

    A socket that a process left behind is replaced; the new one is removed at the end.
    Raises CannotListen.
    """
    path = path.parent.resolve() / path.name
    if len(os.fsencode(path)) > LONGEST_BYTES:
        raise CannotListen(
            f"cannot listen on {path}: a socket's path has {LONGEST_BYTES} bytes at"
            " most; choose a shorter one with --unix"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        os.fchmod(listener.fileno(), 0o600)  # before it can be seen
        listener.bind(os.fsencode(path))
        os.chmod(path, 0o600)  # where the system does not go by the line above
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise CannotListen(
            f"cannot listen on {path}: {problem.strerror}; choose another with --unix"
        ) from None
    made = _identity(path)
    try:
        yield listener
    finally:
        with suppress(OSError):
            if _identity(path) == made:  # not a later process's
                path.unlink()


def _identity(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _remove_left_over(path: Path) -> None:
    """Remove a socket on which nobody listens; raise OSError for all else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "it is a file, not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(os.fsencode(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # somebody has more connections waiting than are accepted
    raise OSError(errno.EADDRINUSE, "another process listens there")
