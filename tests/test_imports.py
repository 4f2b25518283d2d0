"""Imports go one way, and only those who answer requests know Flask."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each part may import, beside itself and the ground that all stand on.
GROUND = {"addresses", "errors", "models", "settings", "values"}
MAY_IMPORT = {
    "governance_lists": {"app", "commands", "web"},
    "app": {"commands", "web", "callers", "snapshot", "store"},
    "commands": {"web", "callers", "snapshot", "store", "transfer", "samples"},
    "web": {"callers", "snapshot", "store", "schemas", "fields"},
    "callers": {"snapshot", "store"},
    "snapshot": {"store", "schemas", "fields"},
    "transfer": {"store", "schemas", "fields"},
    "samples": {"store"},
    "store": {"fields"},
    "schemas": {"fields"},
    "fields": set(),
    "errors": set(),
    "models": set(),
    "settings": {"errors"},
    "addresses": set(),
    "values": set(),
}
KNOW_FLASK = {"app", "commands", "web"}
PARTS = [ROOT / part for part in MAY_IMPORT]


def modules(part: Path) -> list[Path]:
    return sorted(part.rglob("*.py")) if part.is_dir() else [part.with_suffix(".py")]


def imported(module: Path) -> Iterator[str]:
    """The first names of all that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_every_module_has_a_place_in_this_order() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    parts = packages | {path.stem for path in ROOT.glob("*.py")}

    assert parts - {"tests", "benchmarks", "hatch_build"} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_imports_go_one_way(part: Path) -> None:
    ours = set(MAY_IMPORT)
    allowed = {part.name} | MAY_IMPORT[part.name] | (GROUND - {part.name})

    wrong = {
        (module.name, name)
        for module in modules(part)
        for name in imported(module)
        if name in ours and name not in allowed
    }

    assert wrong == set()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_only_who_answers_requests_knows_flask(part: Path) -> None:
    names = {name for module in modules(part) for name in imported(module)}

    assert part.name in KNOW_FLASK or not names & {"flask", "werkzeug", "granian"}
