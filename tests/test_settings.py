"""Every setting: its default, an override, a wrong value."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import SETTINGS, SettingError, load_settings

STRONG = "a-secret-of-the-tests-with-32-bytes-or-more"

# Each setting's default, a value of one's own, and what that is read as.
EACH: dict[str, tuple[Any, str, Any]] = {
    "database": (Path("data/governance.db"), "/srv/config.db", Path("/srv/config.db")),
    "access_database": (Path("data/access.db"), "a.db", Path("a.db")),
    "jwt_secret": (b"", STRONG, STRONG.encode()),
    "jwt_secret_file": (Path("data/jwt-secret"), "/run/s", Path("/run/s")),
    "jwt_public_key_file": (None, "key.pem", Path("key.pem")),
    "encryption_key": ("", " a passphrase\n", "a passphrase"),
    "encryption_key_file": (None, "/run/k", Path("/run/k")),
    "snapshot_seconds": (2.0, "0.5", 0.5),
    "shutdown_seconds": (10.0, "30", 30.0),
    "virtual_key_scope": ("own", "all", "all"),
    "auth": ("on", "off", "off"),
    "cors_origins": (
        (),
        "https://a.example, http://localhost:3000",
        ("https://a.example", "http://localhost:3000"),
    ),
    "pages": ("on", "off", "off"),
}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting is in the environment, whoever runs the tests."""
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.name, raising=False)


def refusal(name: str, value: str) -> str:
    with pytest.raises(SettingError) as refused:
        load_settings({name: value})
    return refused.value.message


def test_these_are_all_settings() -> None:
    assert list(EACH) == list(SETTINGS)


def test_settings_are_named_after_the_service() -> None:
    names = {field: setting.name for field, setting in SETTINGS.items()}

    assert names == {field: f"GOVERNANCE_{field.upper()}" for field in EACH}


def test_settings_have_their_defaults() -> None:
    settings = load_settings()

    defaults = {field: getattr(settings, field) for field in EACH}
    assert defaults == {field: default for field, (default, _, _) in EACH.items()}


@pytest.mark.parametrize("field", EACH)
def test_a_setting_comes_from_the_environment_and_changes_no_other(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text, value = EACH[field]
    monkeypatch.setenv(SETTINGS[field].name, text)

    settings = load_settings()

    expected = {other: default for other, (default, _, _) in EACH.items()}
    assert {other: getattr(settings, other) for other in EACH} == {
        **expected,
        field: value,
    }


@pytest.mark.parametrize("field", EACH)
def test_an_override_goes_before_the_environment(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text, value = EACH[field]
    monkeypatch.setenv(SETTINGS[field].name, "1" * 32)

    settings = load_settings({SETTINGS[field].name: text})

    assert getattr(settings, field) == value


@pytest.mark.parametrize("field", EACH)
def test_a_setting_that_is_empty_has_its_default(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, text, _ = EACH[field]
    name = SETTINGS[field].name

    monkeypatch.setenv(name, "")
    in_environment = load_settings()
    monkeypatch.setenv(name, text)
    as_override = load_settings({name: ""})

    assert getattr(in_environment, field) == default
    assert getattr(as_override, field) == default


# Wrong values


@pytest.mark.parametrize(
    "value",
    ["soon", "0", "-1", "0.04", "86401", "nan", "inf", "-inf", "1e99", "2s", "0,5"],
)
def test_wrong_seconds_are_refused(value: str) -> None:
    message = refusal("GOVERNANCE_SNAPSHOT_SECONDS", value)

    assert message == (
        f"GOVERNANCE_SNAPSHOT_SECONDS is {value!r};"
        " it takes a number of seconds from 0.05 to 86400"
    )


@pytest.mark.parametrize(
    ("value", "seconds"), [("0.05", 0.05), ("86400", 86400.0), (" 3 ", 3.0)]
)
def test_seconds_at_the_ends_are_taken(value: str, seconds: float) -> None:
    settings = load_settings({"GOVERNANCE_SNAPSHOT_SECONDS": value})

    assert settings.snapshot_seconds == seconds


@pytest.mark.parametrize(
    ("name", "choices"),
    [("GOVERNANCE_VIRTUAL_KEY_SCOPE", "own or all"), ("GOVERNANCE_AUTH", "on or off")],
)
@pytest.mark.parametrize("value", ["yes", "true", "0", "own,all", "on ", "none", "оff"])
def test_a_wrong_choice_is_refused(name: str, choices: str, value: str) -> None:
    message = refusal(name, value)

    assert message == f"{name} is {value!r}; it takes {choices}"


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("GOVERNANCE_AUTH", "OFF", "auth", "off"),
        ("GOVERNANCE_AUTH", "On", "auth", "on"),
        ("GOVERNANCE_VIRTUAL_KEY_SCOPE", "ALL", "virtual_key_scope", "all"),
    ],
)
def test_the_case_of_a_choice_does_not_matter(
    name: str, value: str, field: str, read: str
) -> None:
    assert getattr(load_settings({name: value}), field) == read


@pytest.mark.parametrize(
    "wrong",
    [
        "example.com",
        "https://example.com/",
        "https://example.com/app",
        "https://*.example.com",
        "https://user@example.com",
        "http://localhost:port",
        "http://localhost:65536",
        "http://exämple.com",
        "null",
        "",
        "*",  # beside others it would say something else than it does
    ],
)
def test_a_wrong_origin_is_refused(wrong: str) -> None:
    message = refusal("GOVERNANCE_CORS_ORIGINS", f"https://a.example,{wrong}")

    assert message == (
        f"GOVERNANCE_CORS_ORIGINS holds {wrong!r}; it takes * or origins such as"
        " https://example.com:8443, without a path, with commas between them"
    )


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        (" * ", ("*",)),
        ("HTTPS://Example.COM", ("https://example.com",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("http://a:80,https://b:443", ("http://a", "https://b")),
        ("http://a:443,https://b:80", ("http://a:443", "https://b:80")),
        ("tauri://localhost", ("tauri://localhost",)),
    ],
)
def test_origins_are_read_as_browsers_send_them(
    given: str, origins: tuple[str, ...]
) -> None:
    settings = load_settings({"GOVERNANCE_CORS_ORIGINS": given})

    assert settings.cors_origins == origins


@pytest.mark.parametrize("secret", ["x", "hunter2", "x" * 31, "ü" * 15])
def test_a_weak_secret_is_refused_without_being_shown(secret: str) -> None:
    message = refusal("GOVERNANCE_JWT_SECRET", secret)

    assert message == (
        f"GOVERNANCE_JWT_SECRET holds a secret of {len(secret.encode())} bytes;"
        " HS256 needs at least 32 (try: openssl rand -hex 32)"
    )


@pytest.mark.parametrize("secret", ["x" * 32, "ü" * 16, STRONG])
def test_a_secret_of_32_bytes_is_taken(secret: str) -> None:
    settings = load_settings({"GOVERNANCE_JWT_SECRET": secret})

    assert settings.jwt_secret == secret.encode()


def test_a_secret_that_is_not_utf_8_ends_in_no_traceback() -> None:
    random_bytes = {b"GOVERNANCE_JWT_SECRET": bytes(range(128, 255))}

    result = subprocess.run(
        [sys.executable, "-m", "flask", "api-key", "list"],
        cwd=Path(__file__).parent.parent,
        env={**os.environb, **random_bytes},
        capture_output=True,
        text=True,
        timeout=60,
    )

    # Taken as it is, or refused with a sentence.
    assert "Traceback" not in result.stderr


PATHS = [name for name, (_, _, value) in EACH.items() if isinstance(value, Path)]


@pytest.mark.parametrize("field", PATHS)
def test_a_path_may_begin_with_the_home_folder(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")

    settings = load_settings({SETTINGS[field].name: "~/x"})

    assert getattr(settings, field) == Path("/home/somebody/x")


@pytest.mark.parametrize("field", PATHS)
def test_a_home_folder_that_is_not_there_is_refused(field: str) -> None:
    message = refusal(SETTINGS[field].name, "~no-such-user/x")

    assert SETTINGS[field].name in message
    assert "~no-such-user/x" in message


@pytest.mark.parametrize(
    "name", ["GOVERNANCE_DATABSE", "DATABASE", "governance_database", ""]
)
def test_an_unknown_override_is_refused(name: str) -> None:
    message = refusal(name, "x")

    assert message.startswith(f"{name} is no setting; there are ['GOVERNANCE_ACCESS_")
    assert all(setting.name in message for setting in SETTINGS.values())


def test_an_unknown_variable_in_the_environment_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOVERNANCE_SOMETHING_ELSE", "x")

    assert load_settings().auth == "on"


@pytest.mark.parametrize("field", EACH)
def test_a_setting_has_a_line_of_help(field: str) -> None:
    text = SETTINGS[field].help

    assert text
    assert "\n" not in text
