"""Node.js and what is run with it, for tests of clients in TypeScript."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import unavailable

OLDEST_NODE = 20


def check_node() -> None:
    """Skip, or fail in CI, where there is no Node.js that is new enough. `make typescript` brings one."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            unavailable(f"{program} is not installed here (Node.js {OLDEST_NODE} or newer)")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.match(r"v(\d+)", version)[1]) < OLDEST_NODE:
        unavailable(f"Node.js {OLDEST_NODE} or newer is needed, and {version.strip()} is installed here")


def run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a program writes that ends well."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
