"""The repository itself: what its README names, its pins, its demo."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from marshmallow import Schema
from reading import answers

from commands.command_line import COMMANDS
from schemas import CustomerSchema, Related, TeamSchema
from settings import SETTINGS
from transfer.loading import load_files

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
OURS = [each for each in PACKAGES if each.name not in ("tests", "benchmarks")]
SOURCES = sorted([*ROOT.glob("*.py"), *(f for p in OURS for f in p.rglob("*.py"))])
DEMO = ROOT / "data" / "demo.json"
# The README


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text()


def rows(page: str) -> list[list[str]]:
    """The cells of the rows of the table of a page in docs/."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1:]]


def test_the_settings_have_a_row_each_with_their_defaults() -> None:
    expected = [
        (f"`{setting.name}`", f"`{setting.default}`" if setting.default else "")
        for setting in SETTINGS.values()
    ]

    assert [(row[0], row[1]) for row in rows("settings.md")] == expected


def test_the_documentation_names_no_setting_that_is_none() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = " ".join(page.read_text() for page in pages)
    named = set(re.findall(r"\bGOVERNANCE_[A-Z_]+\b", text))

    assert named <= {setting.name for setting in SETTINGS.values()}


def test_the_commands_have_a_row_each_with_their_options() -> None:
    commands = {command.name or "": command for command in COMMANDS}
    shown = {row[0].strip("`"): row[0] for row in rows("commands.md")}

    for path, command in _paths(commands):
        row = next((row for text, row in shown.items() if text.startswith(path)), "")
        options = [o for p in command.params for o in p.opts if o.startswith("--")]
        # The demo's are those of `serve`.
        assert row, f"there is no row for {path}"
        assert path == "demo" or [o for o in options if o not in row] == []
    named = {option for row in shown for option in re.findall(r"--[a-z-]+", row)}
    known = {
        o for _, command in _paths(commands) for p in command.params for o in p.opts
    }
    assert named <= known


def test_the_commands_page_shows_the_defaults_of_options() -> None:
    commands = {command.name or "": command for command in COMMANDS}
    text = " ".join(row[0] for row in rows("commands.md"))

    for option, value in re.findall(r"\[(--[a-z-]+) ([0-9a-z]+)\]", text):
        defaults = {
            str(parameter.default)
            for _, command in _paths(commands)
            for parameter in command.params
            if option in parameter.opts
        }
        # What has no default is shown with an example.
        assert value in defaults or "None" in defaults or option in EXAMPLES


EXAMPLES = {"--by", "--every", "--expires", "--layout"}


def test_every_command_of_ours_has_a_help(app: Flask) -> None:
    assert {command.name for command in COMMANDS} <= set(app.cli.commands)
    assert [c.name for c in COMMANDS if not c.help] == []


def _paths(
    commands: dict[str, click.Command],
) -> Iterator[tuple[str, click.Command]]:
    """Each command and how it is typed, those in groups too."""
    for name, command in commands.items():
        if isinstance(command, click.Group):
            for inner, each in _paths(command.commands):
                yield f"{name} {inner}", each
        else:
            yield name, command


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_names_the_two_commands(readme: str, command: str) -> None:
    assert command in readme


def test_the_readme_has_a_line_for_every_module_and_package(readme: str) -> None:
    layout = readme.partition("\n## Layout\n")[2].partition("\n## ")[0]
    packages = [f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")]
    modules = [path.name for path in ROOT.glob("*.py")]

    missing = [name for name in (*modules, *packages) if f"\n{name}" not in layout]

    assert missing == []


def test_the_answer_that_the_readme_shows_is_the_demos(
    readme: str, tmp_path: Path
) -> None:
    load_files([DEMO], tmp_path / "own.db")
    (first, *_) = answers(tmp_path / "own.db")["teams"]
    shown = readme.partition("```json\n")[2].partition("```")[0]

    for name, value in re.findall(r'"(id|name|max_limit)": ("[^"]*"|\d+)', shown):
        assert f'"{name}":{value}' in json.dumps(first, separators=(",", ":"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_documented_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / "governance-lists.service"
    page = (ROOT / "docs" / "deployment.md").read_text()
    text = page.partition("```ini\n")[2].partition("```")[0]
    # The program has to be there, which it is not on this machine.
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))

    checked = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, unit.name in checked.stderr) == (0, False)


# Pins and sizes


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_exactly(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    requirements = [line for line in lines if line and line[0] not in "#-"]

    unpinned = [r for r in requirements if not re.fullmatch(r"[\w.\[\]-]+==[\d.]+", r)]

    assert requirements
    assert unpinned == []


def test_a_source_module_starts_by_saying_what_lives_in_it() -> None:
    assert SOURCES
    assert [path for path in SOURCES if not path.read_text().startswith('"""')] == []


def test_no_test_imports_from_another() -> None:
    """Tests share by tests/helpers."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    importing = re.compile(r"^\s*(?:from|import) (?:test_\w+|conftest)\b", re.M)

    assert [path.name for path in tests if importing.search(path.read_text())] == []


def test_tests_use_what_is_public() -> None:
    # Names that begin so although they are public: of peewee, namedtuple and os.
    public = "meta|asdict|replace|fields|exit"
    private = re.compile(rf"(?<!self)\._(?!{public})[a-z]\w*\b[^\"]|setattr\([^)]*\"_")

    found = {
        path.name: private.findall(path.read_text())
        for path in (ROOT / "tests").rglob("test_*.py")
    }

    assert {name: names for name, names in found.items() if names} == {}


def test_nothing_of_a_checkouts_own_data_is_kept_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert {".venv", "/data/*", "!/data/demo.json"} <= set(ignored)


# The demo


@pytest.fixture(scope="module")
def governance() -> dict[str, Any]:
    part: dict[str, Any] = json.loads(DEMO.read_bytes())["governance"]
    return part


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both lists of the loaded demo."""
    path = tmp_path_factory.mktemp("demo") / "governance.db"
    load_files([DEMO], path)
    return answers(path)


def test_the_demo_has_three_customers_and_eight_teams_or_more(
    governance: dict[str, Any],
) -> None:
    assert len(governance["customers"]) == 3
    assert len(governance["teams"]) >= 8


def test_one_team_of_the_demo_has_no_customer(governance: dict[str, Any]) -> None:
    without = [team for team in governance["teams"] if not team.get("customer_id")]

    assert len(without) == 1


def test_the_demos_virtual_keys_are_of_teams_of_customers_and_of_nobody(
    governance: dict[str, Any],
) -> None:
    keys = governance["virtual_keys"]

    owners = {(bool(key.get("team_id")), bool(key.get("customer_id"))) for key in keys}

    assert len(keys) >= 20
    assert owners == {(True, False), (False, True), (False, False)}


def test_every_documented_field_is_filled_somewhere_in_the_demo(
    demo: dict[str, Any],
) -> None:
    filled: dict[str, set[str]] = defaultdict(set)
    for schema, name in ((TeamSchema, "teams"), (CustomerSchema, "customers")):
        for entity in demo[name]:
            _note_filled(schema(), entity, filled)

    empty = {name: _fields(name) - fields for name, fields in filled.items()}

    assert set(filled) == SHAPES.keys()
    assert {name: fields for name, fields in empty.items() if fields} == {}


def _shapes(schema: Schema, found: dict[str, Schema]) -> dict[str, Schema]:
    """A schema and all that are nested in it, by name."""
    if type(schema).__name__ not in found:
        found[type(schema).__name__] = schema
        for field in schema.fields.values():
            if isinstance(field, Related):
                _shapes(field.schema, found)
    return found


SHAPES = _shapes(TeamSchema(), {})
# The documents do not know them, nor does the demo.
del SHAPES["ModelBudgetSchema"]


def _fields(name: str) -> set[str]:
    return set(SHAPES[name].fields) - {"model_budgets"}


def _note_filled(
    schema: Schema, entity: dict[str, Any], filled: dict[str, set[str]]
) -> None:
    """Note which fields of an entity, and of those within it, say something."""
    for name, value in entity.items():
        field = schema.fields[name]
        # A circle is cut by an empty object: that it is there is all it says.
        cut = isinstance(field, Related) and value == {}
        if cut or _says_something(value):
            filled[type(schema).__name__].add(name)
        if isinstance(field, Related) and not cut:
            for inner in value if isinstance(value, list) else [value]:
                _note_filled(field.schema, inner, filled)


def _says_something(value: Any) -> bool:
    # An EnvValue is there when something is stored, which it does not tell.
    return value not in (None, "", 0, False, [], {}, "0001-01-01T00:00:00Z")


@pytest.mark.parametrize("name", ["stdio_config", "tls_config"])
def test_every_field_inside_an_mcp_client_is_filled_somewhere_in_the_demo(
    name: str,
) -> None:
    clients = json.loads(DEMO.read_bytes())["mcp"]["client_configs"]

    filled = {f for c in clients for f, v in (c.get(name) or {}).items() if v}

    expected = {
        "stdio_config": {"command", "args", "envs"},
        "tls_config": {"insecure_skip_verify", "ca_cert_pem"},
    }
    assert filled == expected[name]


def test_the_demos_secrets_are_plainly_fake() -> None:
    config = json.loads(DEMO.read_bytes())
    keys = [key for p in config["providers"].values() for key in p["keys"]]

    values = [key["value"] for key in keys]
    virtual_keys = config["governance"]["virtual_keys"]
    values += [key["value"] for key in virtual_keys if "value" in key]

    doubtful = [v for v in values if not re.match(r"env\.|.*(fake|demo)", v)]
    assert doubtful == []
