"""Whatever name a database is given by, every commit shows at the next look."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import Gateway, fill
from reading import reader_of

from models import Team
from store import images
from store.failures import DatabaseUnavailable
from store.sqlite import Reader


@pytest.fixture(params=["delete", "wal"])
def journal(request: pytest.FixtureRequest) -> str:
    """Both journal modes, one after the other."""
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, journal: str) -> Path:
    return make(tmp_path / "gateway" / "config.db", journal)


def make(path: Path, journal: str) -> Path:
    path.parent.mkdir()
    fill(Gateway(path))
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.close()
    return path


def name_by_symlink(path: Path) -> Path:
    link = path.parent.parent / "link.db"
    link.symlink_to(path)
    return link


def name_by_symlink_to_symlink(path: Path) -> Path:
    link = path.parent.parent / "other-link.db"
    link.symlink_to(name_by_symlink(path).name)
    return link


def name_by_linked_folder(path: Path) -> Path:
    folder = path.parent.parent / "linked"
    folder.symlink_to(path.parent)
    return folder / path.name


def name_by_dots(path: Path) -> Path:
    # Through a link, ".." is not the folder that the text says.
    deep = path.parent / "deep" / "deeper"
    deep.mkdir(parents=True)
    link = path.parent.parent / "elsewhere"
    link.symlink_to(deep)
    return link / ".." / ".." / path.name


def name_by_relative_path(path: Path) -> Path:
    os.chdir(path.parent.parent)
    return Path("gateway") / path.name


@pytest.fixture(
    params=[
        name_by_symlink,
        name_by_symlink_to_symlink,
        name_by_linked_folder,
        name_by_dots,
        name_by_relative_path,
    ],
    ids=lambda function: function.__name__.removeprefix("name_by_"),
)
def reader(
    request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    monkeypatch.chdir(path.parent)  # so that it is left again
    reader = reader_of(request.param(path))
    yield reader
    reader.close()


def rename(path: Path, name: str) -> sqlite3.Connection:
    """Commit another name of a team; the connection stays open, and so a log."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE governance_teams SET name = ? WHERE id = 'lone'", [name])
    return connection


def name_of(reader: Reader) -> str:
    (name,) = (row.name for row in reader.read()[Team] if row.id == "lone")
    return str(name)


def test_each_commit_changes_the_mark_and_is_read(reader: Reader, path: Path) -> None:
    marks, names = [reader.mark()], []
    writer = rename(path, "first")

    for number in range(10):
        writer.execute("UPDATE governance_teams SET name = ?", [f"name {number}"])
        marks.append(reader.mark())
        names.append(name_of(reader))
    writer.close()

    assert len(set(marks)) == 11
    assert names == [f"name {number}" for number in range(10)]
    assert name_of(reader) == "name 9"


def test_a_relative_name_stays_that_of_the_folder_at_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(path.parent)
    reader = reader_of(Path(path.name))

    monkeypatch.chdir(tmp_path)

    assert name_of(reader) == "Skunkworks"
    reader.close()


def test_a_link_replaced_while_running_leads_to_the_other_database(
    path: Path, tmp_path: Path, journal: str
) -> None:
    other = make(tmp_path / "other" / "config.db", journal)
    writer = rename(other, "of the other")
    link = name_by_symlink(path)
    reader = reader_of(link)
    before = reader.mark(), name_of(reader)

    new = link.with_name("new-link")
    new.symlink_to(other)
    os.replace(new, link)

    assert reader.mark() != before[0]
    assert (before[1], name_of(reader)) == ("Skunkworks", "of the other")
    reader.close()
    writer.close()


def test_a_hard_link_beside_which_there_is_no_log_is_refused(
    path: Path, tmp_path: Path
) -> None:
    writer = rename(path, "in the log, or the journal, of the other name")
    os.link(path, tmp_path / "hard.db")
    reader = reader_of(tmp_path / "hard.db")

    for ask in (reader.mark, reader.read, reader.verify):
        with pytest.raises(DatabaseUnavailable, match=r"hard links.*one name only"):
            ask()
    writer.close()


def test_a_database_that_gets_another_name_while_it_is_served_is_refused(
    path: Path, tmp_path: Path
) -> None:
    reader = reader_of(path)
    reader.read()

    os.link(path, tmp_path / "hard.db")

    with pytest.raises(DatabaseUnavailable, match="hard links"):
        reader.mark()


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
def test_a_hard_link_beside_which_the_log_is_is_served(
    path: Path, tmp_path: Path
) -> None:
    os.link(path, tmp_path / "hard.db")
    writer = rename(path, "in the log of this name")
    reader = reader_of(path)

    assert name_of(reader) == "in the log of this name"
    reader.close()
    writer.close()


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
def test_a_folder_of_hard_links_is_refused(path: Path, tmp_path: Path) -> None:
    """As `cp -al` makes: its log is that of a gateway that may have ended since."""
    writer = rename(path, "in a log of two names")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in path.parent.iterdir():
        os.link(file, copy / file.name)

    with pytest.raises(DatabaseUnavailable, match="hard links"):
        reader_of(copy / path.name).mark()
    writer.close()


def test_a_file_that_is_mounted_alone_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "is_mounted_alone", str(path).__eq__)

    with pytest.raises(DatabaseUnavailable, match=r"single file.*mount its folder"):
        reader_of(path).mark()


def test_a_mount_of_a_single_file_is_recognised(tmp_path: Path) -> None:
    outside, inside = tmp_path / "out side.db", tmp_path / "in side.db"
    outside.touch()
    inside.touch()
    (tmp_path / "x").mkdir()
    mounting = ["unshare", "--mount", "sh", "-c", _MOUNT_AND_ASK, sys.executable]

    asked = subprocess.run(
        [*mounting, outside, inside], capture_output=True, text=True, check=False
    )

    if asked.returncode:
        pytest.skip(f"this user may not mount: {asked.stderr.strip()}")
    assert asked.stdout.split() == ["True", "False", "True"]


_MOUNT_AND_ASK = """
mount --bind "$1" "$2" &&
"$0" -c 'if True:
    import os, sys
    sys.path.insert(0, ".")
    from store.locations import is_mounted_alone
    dots = os.path.join(os.path.dirname(sys.argv[2]), "x", "..", sys.argv[3])
    print(is_mounted_alone(sys.argv[2]), is_mounted_alone(sys.argv[1]))
    print(is_mounted_alone(dots))' "$1" "$2" "in side.db"
"""
