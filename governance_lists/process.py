"""The service as a process of its own, for as long as tests need it."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
# Whatever folder the tests run in, and whatever modules it has.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from governance_lists.cli import main; main()"
)
START_SECONDS = 60
STOP_SECONDS = 10


class DidNotStart(Exception):
    """The service did not start; the text is what it said."""


class Process:
    """A running `serve`, which ends with this process if it is not stopped before.

    `ready` is what its ready line says. Raises DidNotStart.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._log = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        # -P: the current folder may have modules with any names.
        program = [sys.executable, "-P", "-c", PROGRAM, str(PACKAGE.parent)]
        self._process = self._stack.enter_context(
            subprocess.Popen(  # noqa: S603
                [*program, "serve", "--port", "0", "--exit-with-parent", *arguments],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        )
        line = self._first_line()
        if not line.startswith("ready "):
            self.stop()
            raise DidNotStart(line)
        self.ready: Mapping[str, Any] = json.loads(line.removeprefix("ready "))

    def stop(self) -> None:
        """End it; nothing if it has been ended."""
        with self._stack:  # which waits for it
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()

    def log(self) -> str:
        """Return what it wrote to its log so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace").strip()

    def _first_line(self) -> str:
        """Return the ready line, or why there is none."""
        output = self._process.stdout
        if output is None or not select.select([output], [], [], START_SECONDS)[0]:
            return f"it was not ready after {START_SECONDS} seconds"
        return output.readline().decode().strip() or self.log()


def _environment() -> dict[str, str]:
    """Return our environment without settings: tests are the same everywhere."""
    return {n: v for n, v in os.environ.items() if not n.startswith("GOVERNANCE_")}
