"""The socket that the service listens on, and what the kernel does for it.

On Linux the kernel keeps connections that send nothing from the service, and cuts those
whose client reads nothing: neither costs a thread, nor a descriptor for long.
"""

import resource
import socket
from contextlib import suppress
from ipaddress import ip_address

BACKLOG = 4096  # connections that wait to be accepted; the kernel may allow fewer
# A connection is handed over when its first bytes are there. 60 s are six repeats of
# the kernel's greeting; after as many it is dropped, with the default of five for
# net.ipv4.tcp_synack_retries, and so never handed over empty.
DEFER_SECONDS = 60
# A client that has acknowledged nothing, or left no room for more, for so long is gone.
UNREAD_MILLISECONDS = 30_000
SPARE_DESCRIPTORS = 64  # for files, databases and the listening socket itself
MOST_CONNECTIONS = 65_536


class CannotListen(Exception):
    """There is no listening there; the text says why."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one.

    `host` is an address in any form, or a name. Raises CannotListen.
    """
    if not host:
        raise CannotListen("--host is empty; 0.0.0.0 listens on all addresses")
    try:
        listener = _bound(host.removeprefix("[").removesuffix("]"), port)
    except (socket.gaierror, UnicodeError):
        raise CannotListen(
            f"cannot listen on {host!r}: it is neither an address of this machine nor"
            " the name of one; choose another with --host"
        ) from None
    except OSError as problem:
        raise CannotListen(
            f"cannot listen on {host}, port {port}: {problem.strerror or problem};"
            " choose another with --port"
        ) from None
    for option, value in (
        ("TCP_NODELAY", 1),
        ("TCP_DEFER_ACCEPT", DEFER_SECONDS),
        ("TCP_USER_TIMEOUT", UNREAD_MILLISECONDS),
    ):
        # Accepted sockets inherit these. Some systems lack the last two.
        with suppress(AttributeError, OSError):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    listener.listen(BACKLOG)
    return listener


def _bound(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # IPv4 first, which most clients try first for a name such as localhost.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can reach the socket."""
    if is_unix(listener):
        return True
    return ip_address(listener.getsockname()[0]).is_loopback


def is_unix(listener: socket.socket) -> bool:
    """Return whether it is a Unix socket."""
    return listener.family == socket.AF_UNIX


def connect(listener: socket.socket, seconds: float) -> socket.socket:
    """Return a connection to a listening socket of this process. Raises OSError."""
    address = listener.getsockname()
    if not is_unix(listener):
        # A socket that listens on all addresses is reached by the loopback address.
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        address = (everywhere.get(address[0], address[0]), *address[1:])
    connection = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def url_of(listener: socket.socket) -> str:
    """Return the URL under which the socket is reached; unix:PATH of a Unix socket."""
    if is_unix(listener):
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as it may have.

    Return how many connections it can have at a time then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(soft - SPARE_DESCRIPTORS, MOST_CONNECTIONS))
