"""Imports peewee without the PostgreSQL driver, for whom one is not named.

peewee loads the driver wherever it is installed, which takes 0.12 s of each start.
"""

import sys

if "psycopg" not in sys.modules:
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    try:
        import peewee  # noqa: F401
    finally:
        del sys.modules["psycopg"]
