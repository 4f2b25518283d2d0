"""What many clients at once do: to memory, and, where they read slowly, to others."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks import load, report
from benchmarks.report import megabytes, milliseconds, number
from benchmarks.sample import LISTS, PAGE, Sample, service_environment
from benchmarks.servers import OURS, Server, Strings, peak, resident, running
from callers.api_keys import create_api_key
from commands.demo import DEMO_DATA
from transfer.loading import load_files

CLIENTS = 16
SLOW_READERS = 100
SLOW_BYTES_A_SECOND = 100_000
SLOW_SECONDS = 3 * load.SECONDS
TURN_SECONDS = 0.05  # between two reads of a slow reader
RECEIVE_BUFFER_BYTES = 2**16  # the kernel would read on for them, up to megabytes
TEAMS = f"{LISTS}/teams"
A_PAGE = f"{TEAMS}?limit={PAGE}"


def tell_memory(sample: Sample, after_load: float | None) -> None:
    """Print what memory the worker takes; `after_load` is its most under load."""
    report.section(
        "Memory",
        "Of the worker process, in MB resident: at rest with a snapshot and one page"
        f" answered, and at most. Each row with {CLIENTS} clients is a fresh process.",
    )
    report.head("what", "at rest", "at most")
    report.row("all rows of the first table", "-", megabytes(after_load))
    gzip = {**sample.headers, "Accept-Encoding": "gzip"}
    for what, headers in (("", sample.headers), (", gzip", gzip)):
        with running(OURS, sample.environment) as ours:
            ours.ask(A_PAGE, sample.headers)
            rest = resident(ours.workers[0])
            load.load(ours, TEAMS, headers, connections=CLIENTS)
            most = peak(ours.workers[0])
        report.row(
            f"{CLIENTS} clients, whole teams list{what}",
            *map(megabytes, (rest, most)),
        )
    report.end()


def tell_demo(folder: Path) -> None:
    """Print what memory the worker takes with the demo's few rows."""
    database = folder / "demo.db"
    load_files([DEMO_DATA], database)
    key = create_api_key(folder / "access.db", "demo")
    with running(OURS, service_environment(folder, database)) as ours:
        ours.ask(A_PAGE, {"Authorization": f"Bearer {key}"})
        rest = resident(ours.workers[0])
    report.say(f"The demo, at rest with a page answered: {megabytes(rest)} resident.")


def tell_slow_readers(sample: Sample) -> None:
    """Print what slow readers of large answers leave to one who asks for little."""
    report.section(
        "Slow readers",
        f"One client asks for a page of {PAGE} again and again, alone, and while"
        f" {SLOW_READERS} read the whole teams list at"
        f" {SLOW_BYTES_A_SECOND // 1000} KB/s each.",
    )
    report.head("slow readers", "pages/s", "median", "p99", "worker at most")
    with running(OURS, sample.environment) as ours:
        _tell_pages("none", ours, sample.headers)
        with slow_readers(ours, sample.headers) as readers:
            _tell_pages(str(SLOW_READERS), ours, sample.headers)
    report.end()
    report.say(f"Each slow reader had {readers.rate() / 1000:.0f} KB/s.")


def _tell_pages(readers: str, ours: Server, headers: Strings) -> None:
    pages = load.load(ours, A_PAGE, headers, connections=1, seconds=SLOW_SECONDS)
    report.row(
        readers,
        number(pages.rate),
        milliseconds(pages.median),
        milliseconds(pages.p99),
        megabytes(peak(ours.workers[0])),
    )


class SlowReaders(threading.Thread):
    """Clients that read on at a set rate, all in one thread."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets
        self._received = 0
        self._began = self._ended = time.perf_counter()
        self.stop = threading.Event()

    def run(self) -> None:
        allowed = int(SLOW_BYTES_A_SECOND * TURN_SECONDS)
        due = self._began
        while not self.stop.wait(max(0, due - time.perf_counter())):
            due += TURN_SECONDS
            for each in self._sockets:
                with suppress(BlockingIOError):
                    self._received += len(each.recv(allowed))
        self._ended = time.perf_counter()

    def rate(self) -> float:
        """Bytes a second that each was sent."""
        return self._received / len(self._sockets) / (self._ended - self._began)


@contextmanager
def slow_readers(server: Server, headers: Strings) -> Iterator[SlowReaders]:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {TEAMS} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()
    with ExitStack() as stack:
        sockets = []
        for _ in range(SLOW_READERS):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            reader.connect(("127.0.0.1", server.port))
            reader.sendall(request)
            reader.setblocking(False)
            sockets.append(reader)
        readers = SlowReaders(sockets)
        readers.start()
        try:
            yield readers
        finally:
            readers.stop.set()
            readers.join()
