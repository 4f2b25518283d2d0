"""The command `governance-lists`: all commands of the service, from any folder.

The service's modules have plain names, such as `app` and `models`, which a project may
use as well. They lie in a folder that only a process of this command looks into.
"""

import signal
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def main() -> None:
    """Run a command of the service, and end the process."""
    interrupted = signal.getsignal(signal.SIGINT)
    # Ctrl-C while libraries are loaded ends quietly.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path.insert(0, str(service_folder()))
    from app import create_app
    from commands.command_line import command_group
    from web.serving.interrupts import SERVES

    if not SERVES:
        signal.signal(signal.SIGINT, interrupted)
    command_group(create_app)(prog_name="governance-lists")


def service_folder() -> Path:
    """Return where `app.py` is: inside the installed package, or a checkout's root."""
    installed = PACKAGE / "_service"
    return installed if installed.is_dir() else PACKAGE.parent
