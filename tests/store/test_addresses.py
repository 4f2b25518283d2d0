"""Where a database is: a file or a PostgreSQL server, shown without its password."""

from pathlib import Path

import pytest

from addresses import PostgresUrl, postgres_url
from settings import load_settings

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://host/name", "postgresql://host/name"),
        ("postgres://user@host:5433/name", "postgresql://host:5433/name"),
        (f"postgresql://user:{SECRET}@host/name", "postgresql://host/name"),
        (
            f"postgresql://user:{SECRET}@one,two:5433/name",
            "postgresql://one,two:5433/name",
        ),
        (f"postgresql://host/name?user=u&password={SECRET}", "postgresql://host/name"),
        (f"postgresql://u:{SECRET}?x@host/name", "postgresql://host/name"),
        (f"postgresql://u:a/{SECRET}@host/name", "postgresql://host/name"),
        (f"postgresql://u:a@{SECRET}@host/name", "postgresql://host/name"),
        ("postgresql:///name", "postgresql:///name"),
        ("postgresql:///?service=gateway", "postgresql:///"),
        (f"service=gateway password={SECRET}", "postgresql:///?service=gateway"),
    ],
)
def test_a_url_is_shown_without_user_and_password(text: str, shown: str) -> None:
    url = postgres_url(text)

    assert isinstance(url, PostgresUrl)
    assert url.conninfo == text
    assert str(url) == shown
    assert SECRET not in repr(url)


@pytest.mark.parametrize("text", ["config.db", "postgresql", "a/postgresql://x", "s="])
def test_all_else_is_a_file(text: str) -> None:
    assert postgres_url(text) is None


@pytest.mark.parametrize("name", ["DATABASE", "ACCESS_DATABASE"])
def test_both_databases_may_be_on_a_server(name: str) -> None:
    url = f"postgresql://user:{SECRET}@host/name"

    settings = load_settings({f"GOVERNANCE_{name}": url})

    assert getattr(settings, name.lower()) == PostgresUrl(url)
    assert SECRET not in repr(settings)


def test_a_file_stays_a_path() -> None:
    settings = load_settings({"GOVERNANCE_DATABASE": "config.db"})

    assert settings.database == Path("config.db")
