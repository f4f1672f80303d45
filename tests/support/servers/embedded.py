"""The embedded mode as people start it: `python -m app.embedded` in a var directory of its own, on free ports."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port

PORTS = ("PORT", "FLOWER_PORT", "POSTGRES_PORT", "VALKEY_PORT", "NATS_PORT", "DEMO_ORDERS_PORT", "MAIL_CATCHER_PORT")
READY = "Ctrl-C stops everything."
NOBODY = 65534
START_ITSELF = "import subprocess, sys; subprocess.run([sys.executable, '--version'], check=True)"


def python_of_nobody() -> list[str]:
    """A command that runs Python as the user nobody; root's own Python may be out of everyone else's reach."""
    switch = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for python in (sys.executable, "/usr/bin/python{}.{}".format(*sys.version_info)):
        found = subprocess.run([*switch, python, "-c", START_ITSELF], capture_output=True, check=False)
        if found.returncode == 0:
            return [*switch, python]
    pytest.skip("this Python, and a system Python of the same version, are out of reach for a normal user")


class Embedded(Process):
    """Every process of the embedded mode, under its supervisor."""

    start_seconds = 110.0
    stop_signal = signal.SIGINT

    def __init__(self, *, settings: Mapping[str, str] | None = None, as_normal_user: bool = False) -> None:
        # not below pytest's directory, which only its owner may enter: root's PostgreSQL runs as somebody else
        self.home = Path(tempfile.mkdtemp(prefix="taskledger-embedded-", dir="/tmp"))
        self.home.chmod(0o755)
        self.var_dir = self.home / "var"
        self.ports = {name: free_port() for name in PORTS}
        python, library = [sys.executable], {}
        if as_normal_user and os.geteuid() == 0:
            python, library = (
                python_of_nobody(),
                {"PYTHONPATH": f"{self.home}:{sysconfig.get_path('purelib')}:{ROOT / 'sdk' / 'python'}"},
            )
            (self.home / "async_timeout.py").write_text("from asyncio import timeout\n")  # redis: before 3.11.3
            os.chown(self.home, NOBODY, NOBODY)
        given = {"PATH": os.environ["PATH"], "HOME": str(self.home), "VAR_DIR": str(self.var_dir)}
        ports = {name: str(port) for name, port in self.ports.items()}
        super().__init__(
            [*python, "-m", "app.embedded"],
            name="embedded",
            environment=given | library | ports | dict(settings or {}),
            directory=ROOT,
        )

    def is_ready(self) -> bool:
        return READY in self.log_of_this_run

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}/api/v1"

    @property
    def secrets(self) -> dict[str, str]:
        lines = (self.var_dir / "embedded.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    @property
    def as_admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets['ADMIN_API_KEY']}"}

    @property
    def stopped(self) -> list[str]:
        """The programs in the order in which the supervisor saw them end."""
        return re.findall(r" stopped: (\w+)", (self.var_dir / "log" / "supervisor.log").read_text())

    def program_pid(self, name: str) -> int:
        """The process that the supervisor started last under this name."""
        pids = re.findall(rf"spawned: '{name}' with pid (\d+)", (self.var_dir / "log" / "supervisor.log").read_text())
        return int(pids[-1])

    def programs(self) -> list[psutil.Process]:
        """All that the supervisor started, and what they started."""
        return psutil.Process(self.pid).children(recursive=True)

    def submit(self, type_: str, payload: Any) -> str:
        body = {"type": type_, "payload": payload}
        answer = requests.post(f"{self.url}/tasks", json=body, headers=self.as_admin, timeout=10)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def task(self, task_id: str, *, wait: float = 0) -> dict[str, Any]:
        address = f"{self.url}/tasks/{task_id}"
        answer = requests.get(address, params={"wait": wait}, headers=self.as_admin, timeout=wait + 10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def paste_the_curl(self) -> str:
        """What the printed command answers."""
        command = re.search(r"^ +KEY=.*?wait=10\"$", self.log_of_this_run, re.MULTILINE | re.DOTALL).group()
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30).stdout

    def end(self) -> None:
        super().end()
        shutil.rmtree(self.home, ignore_errors=True)
