"""Worker processes under a parent, which replaces those that die."""

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from web.serving.shutdown import (
    ENDING,
    end_with_parent,
    wait_for_signal,
    wait_until_done,
)

log = logging.getLogger("governance")

GIVEN_UP = 70  # the exit status of a worker that is not to be started again
SOON_SECONDS = 5.0  # a worker that dies so soon after its start will do so again
SOON_LIMIT = 3

Work = Callable[[bool], int]


def run_workers(
    count: int, work: Work, finish_seconds: float, ending: Callable[[], None]
) -> int:
    """Run worker processes until a signal ends them; return the exit status.

    `work` runs in each worker, with True in the first one (in another in its place, if
    it dies), and returns its exit status. `finish_seconds` is how long workers may take
    to end; `ending` is called in this process before that.
    """
    workers = _Workers(work)
    try:
        for number in range(count):
            workers.start(first=number == 0)
        while True:
            number = wait_for_signal()
            if number in ENDING:
                ending()
                return workers.end(finish_seconds)
            if not workers.replace_dead():
                workers.end(finish_seconds)
                return 1
    finally:
        workers.kill()


class _Workers:
    """The running workers, by process id, and when each was started."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._started: dict[int, float] = {}
        self._first = 0
        self._died_soon = 0
        # Readable when no process has the writing end any more: the parent is gone.
        self._parent_alive, self._parent_end = os.pipe()

    def start(self, *, first: bool = False) -> None:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(self._parent_end)
                end_with_parent(self._parent_alive)
                status = self._work(first)
            finally:
                os._exit(status)
        self._started[pid] = time.monotonic()
        if first:
            self._first = pid

    def replace_dead(self) -> bool:
        """Start another worker for each that died; return False to give up."""
        for pid, status in self._dead():
            soon = time.monotonic() - self._started.pop(pid) < SOON_SECONDS
            if status == GIVEN_UP:
                return False
            self._died_soon = self._died_soon + 1 if soon else 0
            if self._died_soon >= SOON_LIMIT:
                log.error("workers die as soon as they are started; giving up")
                return False
            log.error("worker %d died (%s); starting another", pid, _cause(status))
            self.start(first=pid == self._first)
        return True

    def end(self, seconds: float) -> int:
        """Signal all to end, and wait; return the exit status."""
        self._signal(signal.SIGTERM)
        return wait_until_done(self._all_ended, seconds)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        for pid in self._started:
            os.waitpid(pid, 0)
        self._started.clear()

    def _signal(self, number: int) -> None:
        for pid in self._started:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _all_ended(self) -> bool:
        for pid, _ in self._dead():
            del self._started[pid]
        return not self._started

    def _dead(self) -> list[tuple[int, int]]:
        """Return the workers that ended, and how: exit status, or signal below zero."""
        ended = [os.waitpid(pid, os.WNOHANG) for pid in self._started]
        return [
            (pid, os.waitstatus_to_exitcode(status)) for pid, status in ended if pid
        ]


def _cause(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
