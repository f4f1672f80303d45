"""Taskledger as it was at another commit: the same work, done by the programs and packages of another checkout.

    git worktree add --detach ../earlier 11d56aa && make -C ../earlier venv
    python -m benchmarks.compare --against ../earlier

Both are asked by the same measuring code, so that only the version differs.
"""

import subprocess
from pathlib import Path
from secrets import token_urlsafe
from typing import ClassVar

from benchmarks.taskledger import CLOCK, Ours, OursInBulk
from tests.support.servers.processes import Process
from tests.support.servers.programs import by_celery

WITH_CLOCK = f"""
import runpy, sys, tasks.handlers
tasks.handlers.__path__.append({str(CLOCK)!r})
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
EMAIL, PASSWORD = "admin@example.com", "nine words of a password for benchmarks alone"
OF_THIS_CHECKOUT = ("PYTHONPATH", "VIRTUAL_ENV")


class Earlier(Ours):
    """Its programs do the work, in tables of its own."""

    name = "earlier, single POSTs"
    checkout: ClassVar[Path]

    def database_and_key(self, broker: str) -> tuple[str, str]:
        database, key = self.servers.empty_database(), f"tl_{token_urlsafe(32)}"
        admin = {"ADMIN_EMAIL": EMAIL, "ADMIN_PASSWORD": PASSWORD, "ADMIN_API_KEY": key}
        environment = self.environment(database, broker) | admin
        command = [self.python, "-m", "flask", "--app", "app", "setup"]
        subprocess.run(command, cwd=self.checkout, env=environment, check=True, capture_output=True)
        return database, key

    def environment(self, database: str, broker: str) -> dict[str, str]:
        found = super().environment(database, broker)
        return {name: value for name, value in found.items() if name not in OF_THIS_CHECKOUT}

    def prepare(self, process: Process) -> None:
        _python, _m, _with_types, *program = by_celery(process.command)
        process.command = [self.python, "-c", WITH_CLOCK, *program]
        process.directory = self.checkout

    @property
    def python(self) -> str:
        """Of the other checkout, with the packages that it asks for."""
        return str(self.checkout / ".venv" / "bin" / "python")


class EarlierInBulk(Earlier, OursInBulk):
    """The same, many in a request."""

    name = "earlier, 500 a POST"
    tasks = OursInBulk.tasks
    bulk = OursInBulk.bulk


def of_checkout(checkout: Path) -> list[type[Ours]]:
    """Both, for the version that lies there."""
    Earlier.checkout = checkout.resolve()
    return [Earlier, EarlierInBulk]
