"""Part of building the package: puts the service's modules inside of it.

There their plain names are in nobody's way, and governance_lists/cli.py finds them.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSIDE = "governance_lists/_service"
LEFT_OUT = {"governance_lists", "tests", "benchmarks", "hatch_build.py"}


class PutInside(BuildHookInterface):
    """A hook of hatchling, found by the name of this file (`hatch_build.py`)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add all modules and packages of the checkout, and the demo's data.

        Not with `pip install -e`, where the command finds them in the checkout.
        """
        if version == "editable":
            return
        root = Path(self.root)
        parts = [
            *root.glob("*.py"),
            *(init.parent for init in root.glob("*/__init__.py")),
        ]
        names = {part.name for part in parts} - LEFT_OUT
        build_data["force_include"] |= {
            name: f"{INSIDE}/{name}" for name in (*names, "data/demo.json")
        }
