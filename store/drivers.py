"""Imports peewee without the PostgreSQL driver.

peewee imports the driver wherever it is installed, which would add 0.12 s to each
start; store/postgres.py imports it where a PostgreSQL database is named.
"""

import sys

if "psycopg" not in sys.modules:
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    try:
        import peewee  # noqa: F401
    finally:
        del sys.modules["psycopg"]
