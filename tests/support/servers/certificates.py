"""The secrets and certificates that deploy/compose/make_secrets.py makes for production, for servers of the tests."""

import subprocess
import sys
from pathlib import Path

from tests.support.servers.databases import ROOT


def make_secrets(folder: Path) -> Path:
    """Run the script as an operator does. Raises AssertionError with what it complained about."""
    command = [sys.executable, ROOT / "deploy" / "compose" / "make_secrets.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder
