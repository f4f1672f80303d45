"""A PostgreSQL of the tests' own, from the embedded mode's wheel: on a free port, thrown away at the end."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg2

from app.embedded import postgres as embedded
from tests.support.servers.processes import Process, kill_all
from tests.support.servers.waiting import free_port

# Nothing here survives the machine: waiting for its disk would only make the tests slow.
# synchronous_commit stays on: what was committed must survive a kill -9 of the server.
FAST = ("fsync=off", "full_page_writes=off")
NO_POSTGRES = "no PostgreSQL server that knows TLS is installed here (on Debian: apt-get install postgresql)"
ALWAYS = ("max_connections=200", "unix_socket_directories=", "timezone=UTC")


class PrivatePostgres(Process):
    """Knows its address from the beginning; the server runs between `start` and `stop`, and starts again."""

    stop_signal = signal.SIGINT  # "fast": ends sessions, keeps everything committed

    def __init__(self, *, durable: bool = False, tls: Path | None = None, other_host: str | None = None) -> None:
        """`other_host`: an address of this machine in a network of the test's own, where it listens, too.

        `tls`: a folder with postgres.crt and postgres.key; it takes no other connections over TCP then.

        The wheel's server knows no TLS: that needs an installed one (`find_programs`).
        """
        self.port = free_port()
        self._directory_path = Path(tempfile.mkdtemp(prefix="taskledger-postgres-"))
        self._data = self._directory_path / "data"
        self._account = _account()
        self._programs: Path | None = None
        self._options = ALWAYS if durable else ALWAYS + FAST
        self._tls = tls
        self._other_host = other_host
        super().__init__(
            (),
            name="postgres",
            environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            directory=self._directory_path,
            popen_options=self._account,
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        if self._programs is None:
            self._programs = self._prepare()
        settings = [part for option in self._options for part in ("-c", option)]
        address = ("-h", ",".join(filter(None, ("127.0.0.1", self._other_host))), "-p", str(self.port))
        self.command = [self._programs / "postgres", "-D", self._data, *address, *settings]
        return super().start()

    def is_ready(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=1).close()
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """kill -9, for the server and its backends: what a power cut leaves of it."""
        backends = psutil.Process(self.pid).children()
        super().kill()
        kill_all(backends)

    def restart(self) -> None:
        """Stop it as an operator would, and wait until it takes connections again."""
        self.stop()
        self.start().wait_until_ready()

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._directory_path, ignore_errors=True)

    def _prepare(self) -> Path:
        """Make the data directory; return where the programs are."""
        self._directory_path.chmod(0o755)
        self._data.mkdir(mode=0o700)
        programs = embedded.programs() if self._tls is None else find_programs()
        assert programs is not None, NO_POSTGRES
        if self._account:
            shutil.chown(self._data, self._account["user"])
            programs = self._reachable(programs)
        initdb = [programs / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        initdb += ["--no-locale", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            initdb, cwd=self._directory_path, env=dict(self.environment), capture_output=True, **self._account
        )
        assert done.returncode == 0, f"initdb failed: {done.stderr.decode()}"
        if self._tls is not None:
            self._demand_tls(self._tls)
        if self._other_host is not None:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        return programs

    def _demand_tls(self, folder: Path) -> None:
        for name in ("postgres.crt", "postgres.key"):
            own = self._data / name
            own.write_bytes((folder / name).read_bytes())
            own.chmod(0o600)
            if self._account:
                shutil.chown(own, self._account["user"], self._account["group"])
        (self._data / "pg_hba.conf").write_text("hostssl all postgres all trust\nhostssl all all all scram-sha-256\n")
        self._options += ("ssl=on", "ssl_cert_file=postgres.crt", "ssl_key_file=postgres.key")

    def _reachable(self, programs: Path) -> Path:
        """The programs, or a copy when the checkout lies where the account may not go (root's home, a CI's clone)."""
        try:
            subprocess.run(
                [programs / "postgres", "--version"], cwd="/", capture_output=True, check=True, **self._account
            )
            return programs
        except (PermissionError, subprocess.CalledProcessError):
            install, package = programs.parent, programs.parent.parent
            copy = self._directory_path / package.name / install.name
            shutil.copytree(install, copy)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():  # found by the programs relative to themselves
                shutil.copytree(libraries, self._directory_path / libraries.name)
            return copy / programs.name


def find_programs() -> Path | None:
    """Where the newest installed PostgreSQL server is, or None."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda place: int(place.parent.name), default=None)


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: root lends it an account without rights."""
    if os.geteuid() != 0:
        return {}
    import pwd

    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
