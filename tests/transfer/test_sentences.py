"""Whatever is in the way of a command, it ends with a sentence that names it."""

import errno
import importlib
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from flask.cli import FlaskGroup
from gateway import Gateway, fill
from service import DEADLINE, ROOT, Service, end, environment, settings_in, start
from users import as_nobody

from app import create_app
from callers.api_keys import create_api_key, list_api_keys
from transfer import loading
from web.serving.listening import CannotListen, is_loopback, listen, url_of

DEMO = ROOT / "data" / "demo.json"


def shell(folder: Path, line: str, **settings: str) -> tuple[int, str, str]:
    """Run a line of shell in which "flask" is the command; its status and output."""
    flask = f"{shlex.quote(sys.executable)} -m flask --app {ROOT / 'app.py'}"
    done = subprocess.run(
        ["sh", "-c", line.replace("flask", flask)],
        cwd=folder,
        env=environment({**settings_in(folder), **settings}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# Standard output that takes nothing

CLOSED = "Error: standard output is closed\n"
FULL = "Error: cannot write to standard output: no space left on device\n"


@pytest.mark.parametrize(
    "command", [f"load {DEMO}", "generate", "api-key create a", "token admin", "check"]
)
@pytest.mark.parametrize(("to", "sentence"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_a_command_that_cannot_print_says_so(
    tmp_path: Path, command: str, to: str, sentence: str
) -> None:
    fill(Gateway(tmp_path / "config.db"))
    own = {"GOVERNANCE_DATABASE": "own.db"} if "load" in command else {}
    own = {"GOVERNANCE_DATABASE": "own.db"} if command == "generate" else own

    status, _, log = shell(tmp_path, f"flask {command} {to}", **own)

    assert (status, log.endswith(sentence)) == (1, True)
    assert "Traceback" not in log


def test_an_api_key_that_nobody_can_see_is_of_no_use(tmp_path: Path) -> None:
    shell(tmp_path, "flask api-key create full >/dev/full")
    shell(tmp_path, "flask api-key create closed >&-")

    keys = list_api_keys(tmp_path / "access.db")

    assert [(key.name, bool(key.revoked_at)) for key in keys] == [("full", True)]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
def test_a_service_that_cannot_say_that_it_is_ready_ends(
    tmp_path: Path, to: str, workers: str
) -> None:
    fill(Gateway(tmp_path / "config.db"))

    status, _, log = shell(tmp_path, f"flask serve --port 0 --workers {workers} {to}")

    assert status == 1
    assert "standard output" in log
    assert "Traceback" not in log


def test_a_service_runs_without_standard_input_and_error(tmp_path: Path) -> None:
    fill(Gateway(tmp_path / "config.db"))
    line = "flask serve --port 0 --ready-file here <&- 2>&- &"
    line += " while ! [ -e here ]; do sleep 0.05; done; kill $!; wait $!"

    status, output, _ = shell(tmp_path, line)

    assert (status, output.startswith("ready {")) == (0, True)


# Folders and files that may not be written or read


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A folder that anybody may read and root alone may write."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    folder = tmp_path / "closed"
    folder.mkdir()
    for part in (folder, *folder.parents):
        if part.is_relative_to(tmp_path.parent.parent.parent):
            part.chmod(0o755)
    return folder


def run_as_nobody(folder: Path, *words: str) -> str:
    """The output of a command, all files in a folder, for a user who is not root."""
    for name in ("samples.generating", "transfer.loading", "click._termui_impl"):
        importlib.import_module(name)  # whose files a stranger may not be able to read

    def run() -> str:
        settings = {**settings_in(folder), "GOVERNANCE_DATABASE": str(folder / "o.db")}
        app = create_app(settings)
        group = FlaskGroup(create_app=lambda: app)
        done = app.test_cli_runner().invoke(group, list(words))
        return f"{done.exit_code} {done.output}"

    return as_nobody(run)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("load", str(DEMO)), "{folder}/o.db cannot be written: Permission denied"),
        (("generate",), "{folder}/o.db cannot be written: Permission denied"),
        (("token", "admin"), "{folder}/jwt-secret: permission denied"),
        (
            ("api-key", "create", "a"),
            "{folder}/access.db may not be written by this user",
        ),
        (("demo",), "{folder}/access.db may not be written by this user"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_folder_that_may_not_be_written_is_named(
    closed_folder: Path,
    words: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(closed_folder)

    said = run_as_nobody(closed_folder, *words)

    assert said.startswith("1 ")
    assert sentence.format(folder=closed_folder) in said.replace(".new", "")


def test_an_access_database_that_may_only_be_read_is_named(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(closed_folder)
    create_api_key(closed_folder / "access.db", "first")
    (closed_folder / "access.db").chmod(0o644)

    said = run_as_nobody(closed_folder, "api-key", "revoke", "first")

    assert said == (
        f"1 Error: {closed_folder}/access.db may not be written by this user\n"
    )


# What is loaded from


@pytest.mark.parametrize(
    "line",
    [
        "cat {demo} | flask load -",
        "cat {demo} | flask load /dev/stdin",
        "flask load /dev/stdin < {demo}",
        "mkfifo pipe; cat {demo} > pipe & flask load pipe",
        "cat config.db | flask load -",
        "mkfifo pipe; cat config.db > pipe & flask load pipe",
        "flask load - < config.db",
    ],
)
def test_whatever_can_be_read_is_loaded(tmp_path: Path, line: str) -> None:
    fill(Gateway(tmp_path / "config.db"))
    own = {"GOVERNANCE_DATABASE": str(tmp_path / "own.db")}

    status, output, log = shell(tmp_path, line.format(demo=DEMO), **own)

    assert (status, "Error" in log) == (0, False)
    assert output.startswith(f"loaded into {tmp_path}/own.db: rows ")


DEEP = '{"governance":{"teams":[{"id":"t","name":"T","profile":' + '{"a":' * 255


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("flask load - <&-", "-: cannot be read: standard input is closed"),
        ("flask load /dev/zero", "/dev/zero: line 1, column 1: is not JSON"),
        ("flask load /dev/null", "/dev/null: line 1, column 1: is not JSON"),
        ("yes | flask load -", "-: line 1, column 1: is not JSON"),
        (
            f"printf '%s' '{DEEP}1{'}' * 255}}}]}}}}' | flask load -",
            "-: governance.teams[0].profile: is nested too deeply",
        ),
    ],
    ids=["closed", "zeros", "nothing", "endless", "deep"],
)
def test_what_cannot_be_loaded_is_named(
    tmp_path: Path, line: str, sentence: str
) -> None:
    status, _, log = shell(tmp_path, line, GOVERNANCE_DATABASE=str(tmp_path / "own.db"))

    assert status == 1
    assert sentence in log
    assert "Traceback" not in log


def test_an_endless_pipe_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transfer.sources.MOST_BYTES", 10_000_000)
    os.mkfifo(tmp_path / "pipe")
    endless = ["sh", "-c", f"(echo '['; yes '1,') > {tmp_path / 'pipe'}"]
    with (
        subprocess.Popen(endless, stderr=subprocess.DEVNULL),
        pytest.raises(loading.LoadError) as failure,
    ):
        loading.load_files([tmp_path / "pipe"], tmp_path / "own.db")

    assert "holds more than 10000000 bytes" in str(failure.value)


# What is not ours


@pytest.mark.parametrize("command", ["create", "revoke"])
def test_api_keys_are_not_put_into_a_gateways_database(
    tmp_path: Path, command: str
) -> None:
    fill(Gateway(tmp_path / "config.db"))
    before = (tmp_path / "config.db").read_bytes()
    place = {"GOVERNANCE_ACCESS_DATABASE": str(tmp_path / "config.db")}

    status, _, log = shell(tmp_path, f"flask api-key {command} a", **place)

    assert status == 1
    assert log == (
        f"Error: {tmp_path}/config.db has no table api_keys;"
        " name another file in GOVERNANCE_ACCESS_DATABASE\n"
    )
    assert (tmp_path / "config.db").read_bytes() == before


def test_a_database_is_not_replaced_by_an_export(tmp_path: Path) -> None:
    fill(Gateway(tmp_path / "config.db"))
    before = (tmp_path / "config.db").read_bytes()

    status, _, log = shell(tmp_path, "flask export config.db")

    assert status == 1
    assert "config.db is a database: it is not replaced by an export" in log
    assert (tmp_path / "config.db").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "command", "sentence"),
    [
        ("GOVERNANCE_JWT_SECRET_FILE", "token admin", "it is not a file"),
        ("GOVERNANCE_JWT_PUBLIC_KEY_FILE", "api-key list", "it is not a file"),
        ("GOVERNANCE_ACCESS_DATABASE", "api-key create a", "is a pipe, not a file"),
        ("GOVERNANCE_ACCESS_DATABASE", "api-key list", "is a pipe, not a file"),
        ("GOVERNANCE_DATABASE", "generate", "is a pipe, not a file"),
        ("GOVERNANCE_DATABASE", "check", "is a pipe, not a file"),
        ("GOVERNANCE_DATABASE", "serve --port 0", "is a pipe, not a file"),
    ],
)
def test_a_pipe_in_a_files_place_is_named(
    tmp_path: Path, setting: str, command: str, sentence: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    place = {setting: str(tmp_path / "pipe")}

    status, _, log = shell(tmp_path, f"flask {command}", **place)

    assert status in (1, 2)
    assert f"{tmp_path}/pipe" in log
    assert sentence in log


# Where the service listens


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://127.0.0.1:"),
        ("127.1", "http://127.0.0.1:"),
        ("127.0.0.2", "http://127.0.0.2:"),
        ("::1", "http://[::1]:"),
        ("[::1]", "http://[::1]:"),
    ],
)
def test_an_address_may_be_given_in_any_form(host: str, url: str) -> None:
    try:
        listener = listen(host, 0)
    except CannotListen:
        pytest.skip(f"this machine has no {host}")
    with closing(listener):
        assert url_of(listener).startswith(url)
        assert is_loopback(listener)


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("", "--host is empty; 0.0.0.0 listens on all addresses"),
        (
            "no-such-host.invalid",
            "cannot listen on 'no-such-host.invalid': it is neither an address of this"
            " machine nor the name of one; choose another with --host",
        ),
        (
            "192.0.2.1",
            "cannot listen on 192.0.2.1, port 0:"
            f" {os.strerror(errno.EADDRNOTAVAIL)}; choose another with --port",
        ),
    ],
)
def test_an_address_of_no_use_is_named(host: str, sentence: str) -> None:
    with pytest.raises(CannotListen) as failure:
        listen(host, 0)

    assert str(failure.value) == sentence


def test_a_name_that_other_machines_reach_is_no_loopback_address() -> None:
    with closing(listen("0.0.0.0", 0)) as listener:
        assert not is_loopback(listener)


def test_without_authentication_only_loopback_is_served(tmp_path: Path) -> None:
    fill(Gateway(tmp_path / "config.db"))

    line = "flask serve --port 0 --host 0.0.0.0"
    status, _, log = shell(tmp_path, line, GOVERNANCE_AUTH="off")

    assert (status, log) == (
        1,
        "Error: GOVERNANCE_AUTH is 'off', which takes a loopback address;"
        " --host is '0.0.0.0'\n",
    )


# Names and places


def test_a_setting_of_a_wrong_name_is_named_with_the_right_one(tmp_path: Path) -> None:
    _, _, log = shell(tmp_path, "flask api-key list", GOVERNANCE_DATABSE="x.db")

    assert (
        "GOVERNANCE_DATABSE is no setting; did you mean GOVERNANCE_DATABASE?\n" in log
    )


def test_a_setting_of_a_strange_name_is_named(tmp_path: Path) -> None:
    _, _, log = shell(tmp_path, "flask api-key list", GOVERNANCE_XYZZY="1")

    assert "WARNING GOVERNANCE_XYZZY is no setting\n" in log


def test_another_application_in_the_environment_does_not_matter(tmp_path: Path) -> None:
    status, output, _ = shell(tmp_path, "flask api-key list", FLASK_APP="other.py")

    assert (status, output.split()[0]) == (0, "NAME")


def test_names_that_are_no_text_are_served_and_shown(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/na\xefme"))
    folder.mkdir()
    fill(Gateway(tmp_path / "config.db"))
    (tmp_path / "config.db").rename(folder / "config.db")
    connection = sqlite3.connect(":memory:")
    connection.close()

    service = Service(settings_in(folder))
    missing = start({**settings_in(folder), "GOVERNANCE_DATABASE": f"{folder}/no.db"})

    try:
        assert service.ready["teams"] == 4
        assert "does not exist" in missing.communicate(timeout=DEADLINE)[1]
    finally:
        service.end()
        end(missing)


def test_a_token_for_a_virtual_key_that_is_not_there_says_so(tmp_path: Path) -> None:
    fill(Gateway(tmp_path / "config.db"))

    there = shell(tmp_path, "flask token virtual-key key-ops")
    missing = shell(tmp_path, "flask token virtual-key nobody")

    assert (there[0], "note:" in there[2]) == (0, False)
    assert (missing[0], missing[1].count(".")) == (0, 2)
    note = f'note: there is no virtual key "nobody" in {tmp_path}/config.db\n'
    assert note in missing[2]


def test_the_api_keys_are_read_before_the_service_says_that_it_is_ready(
    tmp_path: Path,
) -> None:
    fill(Gateway(tmp_path / "config.db"))
    (tmp_path / "access.db").write_bytes(b"garbage " * 1000)

    status, output, log = shell(tmp_path, "flask serve --port 0")

    assert (status, output) == (1, "")
    assert log == (
        f"Error: {tmp_path}/access.db is not an SQLite database. It holds the API keys;"
        " name another in GOVERNANCE_ACCESS_DATABASE.\n"
    )


# Requests that no client should send


def answer_to(service: Service, text: bytes) -> bytes:
    with closing(socket.create_connection((service.host, service.port))) as client:
        client.settimeout(DEADLINE)
        client.sendall(text)
        received = b""
        while b"\r\n\r\n" not in received and (piece := client.recv(65536)):
            received += piece
        return received


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> "object":
    folder = tmp_path_factory.mktemp("strange")
    fill(Gateway(folder / "config.db"))
    service = Service(settings_in(folder))
    yield service
    service.end()


@pytest.mark.parametrize(
    ("request_text", "status", "code"),
    [
        ("GET {path} HTTP/1.1\r\n\r\n", "400", "bad_request"),
        ("GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", "bad_request"),
        ("GET {path} HTTP/1.1\r\nHost: a, b\r\n\r\n", "400", "bad_request"),
        ("get {path} HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method_not_allowed"),
        ("Get {path} HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method_not_allowed"),
        ("GET {path} HTTP/1.0\r\n\r\n", "401", "missing_credentials"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_in_the_documented_form(
    service: Service, request_text: str, status: str, code: str
) -> None:
    text = request_text.format(path="/api/governance/teams").encode()

    answer = answer_to(service, text)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or answer.startswith(
        f"HTTP/1.0 {status} ".encode()
    )
    assert f'"code":"{code}"'.encode() in answer
    assert b"x-request-id: " in answer
