"""A file that is not as it was seen, in whatever it differs."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from store import seen_file
from store.seen_file import SeenFile

SEEN = {
    **{"st_mode": 0o100600, "st_ino": 7, "st_dev": 3, "st_nlink": 1, "st_uid": 0},
    **{"st_gid": 0, "st_size": 8192, "st_atime": 30, "st_mtime": 20, "st_ctime": 20},
    **{"st_mtime_ns": 20_000_000_001, "st_ctime_ns": 20_000_000_002},
}


def result(**changed: int) -> os.stat_result:
    told = SEEN | changed
    numbers = [told[name] for name in SEEN if not name.endswith("_ns")]
    return os.stat_result(numbers, {n: told[n] for n in SEEN if n.endswith("_ns")})


@pytest.mark.parametrize(
    ("changed", "unchanged"),
    [
        ({}, True),
        ({"st_ino": 8}, False),
        ({"st_dev": 4}, False),
        ({"st_nlink": 2}, False),
        ({"st_size": 4096}, False),
        ({"st_mtime_ns": 20_000_000_002}, False),
        ({"st_ctime_ns": 20_000_000_003}, False),
    ],
)
def test_a_file_is_unchanged_if_all_is_that_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, int], unchanged: bool
) -> None:
    seen = SeenFile("config.db", result())

    system = SimpleNamespace(lstat=lambda name: result(**changed))
    monkeypatch.setattr(seen_file, "os", system)

    assert seen.is_unchanged() == unchanged


def test_a_file_that_is_gone_is_not_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "config.db"
    path.touch()
    seen = SeenFile(str(path), path.stat())

    before = seen.is_unchanged()
    path.unlink()

    assert (before, seen.is_unchanged()) == (True, False)


@pytest.mark.parametrize("name", ["st_mtime_ns", "st_ctime_ns"])
def test_a_file_is_old_once_it_was_not_written_for_five_seconds(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    newest = 50 * 10**9
    seen = SeenFile("config.db", result(**{name: newest}))

    def is_old_after(nanoseconds: int) -> bool:
        clock = SimpleNamespace(time_ns=lambda: newest + nanoseconds)
        monkeypatch.setattr(seen_file, "time", clock)
        return seen.is_old()

    assert not is_old_after(5 * 10**9)
    assert is_old_after(5 * 10**9 + 1)
