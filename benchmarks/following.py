"""What a snapshot after a change costs, by kinds of changes, and the memory it takes.

`python -m benchmarks.following DATABASE [wal|delete]` writes to the database: give it a
copy. CPU time is told beside the time that passed, for machines that others use, too.
"""

import gc
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from models import MODELS, REQUIRED
from schemas import Query
from snapshot.snapshot import Scope, Snapshot
from store.sqlite import Reader

TIMES = 7
# What is changed at some row, by SQL; ? is another row each time.
CHANGES = {
    "a budget": "UPDATE governance_budgets SET current_usage = current_usage + 1"
    " WHERE rowid = ?",
    "a rate limit": "UPDATE governance_rate_limits"
    " SET token_current_usage = token_current_usage + 1 WHERE rowid = ?",
    "a virtual key": "UPDATE governance_virtual_keys SET name = name || 'x'"
    " WHERE rowid = ?",
    "a new virtual key": "INSERT INTO governance_virtual_keys"
    " (id, name, value, team_id) SELECT hex(randomblob(8)), hex(randomblob(8)),"
    " hex(randomblob(8)), team_id FROM governance_virtual_keys WHERE rowid = ?",
    "one virtual key less": "DELETE FROM governance_virtual_keys WHERE rowid = ?",
}


def main() -> None:
    path, journal = Path(sys.argv[1]), (sys.argv[2:] or ["wal"])[0]
    gc.disable()  # as the keeper does meanwhile
    with closing(Reader(path, MODELS, REQUIRED)) as reader:
        snapshot = Snapshot(reader.read())
        print(f"first snapshot: {_memory()}")
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute(f"PRAGMA journal_mode = {journal}")
            for what, sql in CHANGES.items():
                cpu, passed = [], []
                for number in range(TIMES):
                    writer.execute(sql, (100 + number,))
                    before = time.process_time(), time.perf_counter()
                    snapshot = Snapshot(reader.read(snapshot.index.rows), snapshot)
                    cpu.append(time.process_time() - before[0])
                    passed.append(time.perf_counter() - before[1])
                print(
                    f"{what}: CPU {median(cpu) * 1000:.1f} ms,"
                    f" passed {median(passed) * 1000:.1f} ms"
                )
    for what, memory in _read_all(snapshot):
        print(f"{what}: {memory}")


def _read_all(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What the process takes, after each form of both lists was read, too."""
    yield "after changes", _memory()
    for form in ("plain", "gzip"):
        for masked in (False, True):
            scope = Scope(everything=True, masked=masked)
            for read in (snapshot.teams, snapshot.customers):
                answer = read(Query(), scope)
                for _ in (answer.plain if form == "plain" else answer.zipped()).sent():
                    pass
            yield f"both lists, {form}, {'masked' if masked else 'clear'}", _memory()


def _memory() -> str:
    status = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in status if line.startswith("Vm"))
    megabytes = {name: int(sizes[name].split()[0]) // 1024 for name in sizes}
    return f"{megabytes['VmRSS']} MB, {megabytes['VmHWM']} at most"


if __name__ == "__main__":
    main()
