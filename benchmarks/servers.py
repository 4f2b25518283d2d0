"""Starting servers, ours and its rivals, asking them, and what memory they take."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = (sys.executable, "-m", "flask", "serve", "--port")
RIVALS = (sys.executable, "-m", "benchmarks.rivals")
START_SECONDS = 120
STOP_SECONDS = 10
POLL_SECONDS = 0.002
READ_BYTES = 2**18
LOG_BYTES = 2000  # of a server that failed, to be shown

Strings = dict[str, str]
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Server:
    """A server that was started: its port, and the processes that answer."""

    port: int
    workers: tuple[int, ...] = ()

    @contextmanager
    def asking(
        self, path: str, headers: Strings, method: str = "GET"
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, headers=headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def ask(self, path: str, headers: Strings) -> bytes:
        """The body of a good answer."""
        with self.asking(path, headers) as response:
            body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} is answered {response.status}: {body[:200]!r}")
        return body

    def etag(self, path: str, headers: Strings) -> str:
        with self.asking(path, headers, "HEAD") as response:
            return response.headers["ETag"]

    def save(self, path: str, headers: Strings, file: Path) -> None:
        """Write an answer's body to a file: it may be larger than memory likes."""
        with self.asking(path, headers) as response, file.open("wb") as out:
            shutil.copyfileobj(response, out, READ_BYTES)

    def time(self, path: str, headers: Strings) -> float:
        """Milliseconds of one answer, read to its end and thrown away."""
        began = time.perf_counter()
        self.status(path, headers)
        return (time.perf_counter() - began) * 1000

    def status(self, path: str, headers: Strings) -> int:
        """The status of an answer that is read to its end; 0 where there is none."""
        try:
            with self.asking(path, headers) as response:
                while response.read(READ_BYTES):
                    pass
                return response.status
        except (OSError, http.client.HTTPException):
            return 0


@contextmanager
def running(
    command: tuple[str, ...], environment: Strings, workers: int = 1
) -> Iterator[Server]:
    """A server, from when it is ready until it is no longer asked."""
    port = _free_port()
    more = ("--workers", str(workers)) if workers > 1 else ()
    with _process((*command, str(port), *more), environment) as process:
        # Rivals know no /readyz, and their 404 is an answer, too.
        _poll(process, lambda: Server(port).status("/readyz", {}) in (200, 404))
        yield Server(port, _children(process.pid) or (process.pid,))


def first_answer(environment: Strings, path: str, headers: Strings) -> float:
    """Milliseconds from the service's launch to the end of its first good answer."""
    port = _free_port()
    began = time.perf_counter()
    with _process((*OURS, str(port)), environment) as process:
        _poll(process, lambda: Server(port).status(path, headers) == 200)
        return (time.perf_counter() - began) * 1000


@contextmanager
def _process(command: tuple[str, ...], environment: Strings) -> Iterator[Process]:
    # The log goes to a file, so that its lines are written as they would be.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        except ServerEndedError:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
            print(log.read().decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            _stop(process)


class ServerEndedError(Exception):
    """A server ended by itself, or never began to answer."""


def _poll(process: Process, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerEndedError(f"{process.args!r} does not answer")
        time.sleep(POLL_SECONDS)


def _stop(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the workers
        process.wait()


def _children(pid: int) -> tuple[int, ...]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return tuple(map(int, children.read_text().split())) if children.exists() else ()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """Return the CPU time that processes had so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for pid in pids]
    ticks = sum(sum(map(int, each.split()[11:13])) for each in fields)
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float | None:
    """Megabytes of memory that a process has now; None where nobody tells."""
    return _status_megabytes(pid, "VmRSS")


def peak(pid: int) -> float | None:
    """Megabytes of memory that a process had at most."""
    return _status_megabytes(pid, "VmHWM")


def _status_megabytes(pid: int, name: str) -> float | None:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    match = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
    return int(match[1]) * 1024 / 1e6 if match else None
