"""Believable governance data of any size: one seed, the same content on any machine.

For trying things out only: whoever knows the seed knows the virtual keys.
"""

from collections.abc import Callable

import models
from addresses import Address
from samples.choices import Draws
from samples.new_rows import NewRows
from samples.owners import Invention
from store.encryption import Encryption
from store.own import writing
from store.own_tables import OwnTables

MOST = 10_000_000  # a database of 13 GB
CHUNK = 1000  # virtual keys from one write, and one call of progress, to the next


class GenerateError(Exception):
    """Nothing can be generated into the database; the text says why."""


def generate(
    database: Address,
    *,
    customers: int = 40,
    teams: int = 3,
    keys: int = 5,
    seed: int = 1,
    replace: bool = False,
    encryption: Encryption | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Fill our own database; return how many there are of each thing then.

    `teams` is the average of a customer, `keys` that of a team. `progress` is called
    with how many virtual keys are made, and of how many. With `replace`, what is there
    goes. Raises GenerateError and NotOurs, and then nothing has changed.
    """
    teams *= customers
    keys *= teams
    if max(customers, teams, keys) > MOST:
        raise GenerateError(f"no more than {MOST:,} of anything can be generated")
    with writing(database, encryption) as tables:
        _make_room(tables, database, replace)
        rows = NewRows(tables)
        invention = Invention(rows, Draws(seed), customers + teams + keys)
        invention.add_providers()
        invention.add_customers(customers)
        invention.add_teams(teams)
        for number in range(1, keys + 1):
            invention.add_virtual_key(number)
            if number % CHUNK == 0 or number == keys:
                rows.write()
                if progress:
                    progress(number, keys)
        rows.write()
    return {noun: rows.counts[model] for noun, model in NOUNS.items()}


NOUNS: dict[str, models.Model] = {
    "customers": models.Customer,
    "teams": models.Team,
    "virtual_keys": models.VirtualKey,
    "budgets": models.Budget,
    "rate_limits": models.RateLimit,
    "model_configs": models.ModelConfig,
    "provider_keys": models.ProviderKey,
    "mcp_clients": models.McpClient,
}


def _make_room(tables: OwnTables, database: Address, replace: bool) -> None:
    for model in models.MODELS:
        if replace:
            tables.clear(model)
        elif not tables.is_empty(model):
            raise GenerateError(
                f"{database} holds data already; with --replace it is removed first"
            )
