"""Listening on a Unix socket: a file through which programs of one user connect."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from web.listening import BACKLOG, CannotListen

LONGEST_BYTES = 107  # of a path, as the kernel takes it (unix(7))


def listen_unix(path: Path) -> socket.socket:
    """Return a socket that listens at a path; only this user may connect (mode 0600).

    A socket that a process left behind is replaced. Raises CannotListen.
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
    return listener


def remove_socket(path: Path) -> None:
    """Remove a socket's file that `listen_unix` made, if it is there."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


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
