"""Nothing is imported until it is used: the first answer is there in a blink."""

import subprocess
import sys
from pathlib import Path

from gateway import Gateway
from service import ROOT, environment, settings_in

from callers.api_keys import create_api_key

# What only some commands, options and databases need, and takes milliseconds to import.
HEAVY = {
    "cryptography": "public keys and encrypted values",
    "jwt": "tokens",
    "prometheus_client": "--metrics",
    "psycopg": "PostgreSQL",
    "urllib3": "pull",
    "transfer": "load, pull, export and check",
    "samples": "generate",
    "web.control.routes": "the test suites' control",
    "web.metrics.metrics": "--metrics",
}
FIRST_ANSWER = """
import sys
from app import create_app
from web.serving import server# which serves, and is imported by the command

client = create_app().test_client()
headers = {"Authorization": "Bearer " + sys.argv[1]}
answer = client.get("/api/governance/teams", headers=headers)
assert answer.status_code == 200, answer.data
print(*sys.modules)
"""


def test_nothing_is_imported_that_the_first_answer_does_not_need(
    tmp_path: Path, gateway: Gateway
) -> None:
    token = create_api_key(tmp_path / "access.db", "tests")

    printed = subprocess.run(
        [sys.executable, "-c", FIRST_ANSWER, token],
        cwd=ROOT,
        env=environment(settings_in(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    imported = printed.split()
    assert "peewee" in imported
    assert HEAVY.keys() & set(imported) == set()
