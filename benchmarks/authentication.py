"""What it takes to know who asks, once a credential was seen: no server needed."""

import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from statistics import median

from benchmarks import report
from benchmarks.sample import SECRET, Sample
from callers.authenticator import Authenticator
from callers.tokens import make_token
from models import MODELS, REQUIRED
from settings import load_settings
from snapshot.keeper import Keeper
from store.sqlite import Reader
from web.lists import TEAMS

REQUESTS = 2_000
ROUNDS = 7
HOUR = timedelta(hours=1).total_seconds()


def tell_authentication(sample: Sample) -> None:
    """Print the microseconds of each kind of credential."""
    report.section(
        "Authentication",
        "Microseconds from the Authorization header to what the caller sees, once the"
        f" credential was seen: the median of {ROUNDS} rounds of {REQUESTS:,}, in one"
        " thread, without a server.",
    )
    report.head("credential", "a request")
    given = ("DATABASE", "ACCESS_DATABASE", "JWT_SECRET")
    names = [f"GOVERNANCE_{name}" for name in given]
    settings = load_settings({name: sample.environment[name] for name in names})
    authenticator = Authenticator(settings)
    keeper = Keeper(Reader(sample.database, MODELS, REQUIRED), HOUR)
    try:
        for kind, token in _credentials(sample).items():
            took = _microseconds(authenticator, keeper, f"Bearer {token}")
            report.row(kind, f"{took:.1f} µs")
    finally:
        keeper.stop()
        authenticator.close()
    report.end()


def _credentials(sample: Sample) -> dict[str, str]:
    with closing(sqlite3.connect(sample.database)) as connection:
        key_id, value = connection.execute(
            "SELECT id, value FROM governance_virtual_keys WHERE is_active = 1"
            " AND expires_at IS NULL AND team_id IS NOT NULL LIMIT 1"
        ).fetchone()
    secret = SECRET.encode()
    return {
        "management API key": sample.key,
        "admin JWT": make_token(secret, "admin", "admin", HOUR),
        "virtual-key JWT": make_token(secret, "virtual_key", key_id, HOUR),
        "virtual key": value,
    }


def _microseconds(authenticator: Authenticator, keeper: Keeper, header: str) -> float:
    snapshot = keeper.current()
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            caller = authenticator.identify(header, "127.0.0.1", TEAMS.taken)
            authenticator.scope(caller, snapshot)
        rounds.append((time.perf_counter() - began) / REQUESTS * 1e6)
    return median(rounds)
