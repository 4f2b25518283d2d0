"""Exporting a database and loading the export."""

from pathlib import Path
from typing import Any

from reading import rows_of

from transfer.exporting import export_config, write_config
from transfer.loading import load_files


def taken_back(path: Path, layout: Any) -> Path:
    """Our own database into which a database's export was loaded."""
    config = export_config(rows_of(path), layout=layout, with_secrets=True)
    file = path.with_name(f"{path.stem}-{layout}.json")
    write_config(config, file, with_secrets=True)
    load_files([file], file.with_suffix(".db"))
    return file.with_suffix(".db")
