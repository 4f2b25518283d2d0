"""Data in: from files to rows to our own database, all of it or nothing."""

from collections.abc import Iterable
from pathlib import Path

import orjson

from config_file import Draft, add_config
from merging import Merge
from own_database import read_tables, write_changes, writing


class LoadError(Exception):
    """What is to be loaded is wrong; `problems` has a line for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_files(
    paths: Iterable[Path], database: Path, *, replace: bool = False
) -> dict[str, int]:
    """Load files into our own database; how many rows were added, changed, removed.

    With `replace`, what is not in the files goes. Raises LoadError and NotOurs, and
    then nothing has changed.
    """
    draft = Draft()
    for path in paths:
        try:
            add_config(draft, orjson.loads(path.read_bytes()), str(path))
        except OSError as problem:
            draft.problems.append(f"{path}: cannot be read: {problem.strerror}")
        except orjson.JSONDecodeError as problem:
            place = f"{path}: line {problem.lineno}, column {problem.colno}"
            draft.problems.append(f"{place}: is not JSON: {problem.msg}")
    return load_draft(draft, database, replace=replace)


def load_draft(
    draft: Draft, database: Path, *, replace: bool = False
) -> dict[str, int]:
    """Load what was read; see load_files."""
    with writing(database) as connection:
        old = read_tables(connection)
        merge = Merge(old, draft, replace=replace)
        if merge.problems:
            raise LoadError(merge.problems)
        return write_changes(connection, old, merge.new)
