"""Measures the service against its ceiling, nginx and a naive view.

`make bench` runs it: at 125 and 1,200 teams, with LARGE=1 at 12,000 too; medians of
REPEAT (3) runs of SECONDS (2) each. It prints Markdown, as it goes.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

from benchmarks import load, report
from benchmarks.authentication import tell_authentication
from benchmarks.changing import tell_changes
from benchmarks.comparing import tell_gzip, tell_load, tell_workers
from benchmarks.crowds import tell_demo, tell_memory, tell_slow_readers
from benchmarks.fixture import tell_fixture
from benchmarks.launch import tell_launch
from benchmarks.moments import tell_moments
from benchmarks.sample import SIZES, make_sample
from benchmarks.small import tell_small


def main() -> None:
    began = time.monotonic()
    *usual, large = SIZES
    busy = os.getloadavg()[0]
    report.say(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {busy:.1f} of them busy"
        f" before; Python {platform.python_version()}; load by {load.TOOL},"
        f" {load.CONNECTIONS} connections; medians of {load.REPEAT} runs of"
        f" {load.SECONDS} s. Compare ratios: other figures are of this machine."
    )
    for teams in (*usual, large) if os.environ.get("LARGE") else usual:
        with tempfile.TemporaryDirectory() as folder:
            measure(teams, Path(folder))
    for tell in (tell_demo, tell_small, tell_launch, tell_fixture):
        with tempfile.TemporaryDirectory() as folder:
            tell(Path(folder))
    report.say(f"All of it took {(time.monotonic() - began) / 60:.1f} minutes.")


def measure(teams: int, folder: Path) -> None:
    """All figures at one size."""
    sample = make_sample(teams, folder)
    counts = sample.counts
    report.say(
        f"## {counts['teams']:,} teams, {counts['virtual_keys']:,} virtual keys,"
        f" {counts['customers']:,} customers"
    )
    after_load = tell_load(sample)
    tell_gzip(sample)
    tell_moments(sample)
    tell_memory(sample, after_load)
    tell_slow_readers(sample)
    tell_changes(sample)
    tell_workers(sample)
    if teams == min(SIZES):  # it is the same for all
        tell_authentication(sample)


if __name__ == "__main__":
    main()
