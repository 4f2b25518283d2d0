"""Where a database is."""

from pathlib import Path

Address = Path
