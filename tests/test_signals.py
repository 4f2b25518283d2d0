"""`signals`: a process ends when it is told to, whichever of its threads is told."""

import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE = 10  # seconds until a test gives up; none waits that long when all is well

# The main thread waits for its handler; another thread is handed the signal.
HANDED_TO_ANOTHER = """
import signal, threading
from signals import pass_signals_on

told = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: told.set())
pass_signals_on()
other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()

def tell():
    for _ in range({times}):
        told.clear()
        signal.pthread_kill(other.ident, signal.SIGTERM)
        while not told.is_set():
            pass
    ended.set()

ended = threading.Event()
threading.Thread(target=tell, daemon=True).start()
ended.wait()
print("ended")
"""

# A child that has set up nothing yet is told to end.
TOLD_TOO_EARLY = """
import os, signal, time
from signals import obey_signals_after_fork, pass_signals_on

signal.signal(signal.SIGTERM, lambda number, frame: None)
pass_signals_on()
obey_signals_after_fork()
child = os.fork()
if child == 0:
    print("up", flush=True)
    time.sleep(60)
    os._exit(0)
"""
TELL_IT = """
import sys
sys.stdin.readline()
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

ENDS_WITH_ITS_PARENT = """
import os, signals, time

signals.PARENT_POLL_SECONDS = 0.01
parent = os.fork()
if parent == 0:
    asking = os.getpid()
    if os.fork() == 0:
        signals.end_with(asking)
        time.sleep(60)
    os._exit(0)
"""


def begin(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("times", [1, 3])
def test_the_main_thread_learns_of_a_signal_that_another_was_handed(
    times: int,
) -> None:
    process = begin(HANDED_TO_ANOTHER.format(times=times))

    try:
        said, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()

    assert said == "ended\n"


def test_a_child_that_is_not_set_up_ends_when_told_to() -> None:
    process = begin(TOLD_TOO_EARLY + TELL_IT)
    assert process.stdout is not None

    try:
        assert process.stdout.readline() == "up\n"
        said, _ = process.communicate("go\n", timeout=DEADLINE)
    finally:
        process.kill()

    assert said == "-15\n"  # by the signal


def test_a_process_ends_when_its_parent_is_gone() -> None:
    process = begin(ENDS_WITH_ITS_PARENT)

    try:
        # The pipe is closed when all who could write to it have ended.
        said, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()

    assert said == ""
