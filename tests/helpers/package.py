"""The installed package: built as pip builds it, in an environment of its own."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """Build the package from this checkout and return the wheel."""
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    pip("wheel", *options, str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> Path:
    """Make an environment with the wheel in it, and return its folder of programs.

    The dependencies are those of the environment of the tests: it takes no network.
    """
    venv.create(environment, with_pip=False)
    programs = environment / "bin"
    python = ["--python", str(programs / "python")]
    pip(*python, "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = environment.glob("lib/python*/site-packages")
    # Behind the environment's own packages, and without those that are linked there.
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True, timeout=100)
