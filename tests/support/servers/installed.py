"""The service as people install it: both wheels in an environment of their own, and `tledger up` in a folder."""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.embedded import PORTS, READY
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port


def build_wheels(folder: Path) -> list[Path]:
    """The SDK and the server of this checkout, built as for a release."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, folder, ROOT / "sdk/python", ROOT / "sdk/server"], check=True, timeout=120)
    return sorted(folder.glob("*.whl"))


class Venv:
    """A virtual environment with our wheels; what they need comes from this one's packages, so nothing is fetched.

    The checkout itself is not on its path: a `.pth` file inside a folder that another one names is not read.
    """

    def __init__(self, folder: Path, wheels: list[Path]) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
        self.install("--no-deps", "--no-index", *map(str, wheels))
        library = sysconfig.get_path("purelib", vars={"base": str(folder)})
        (Path(library) / "zz_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def install(self, *arguments: str) -> None:
        """What pip installs with these arguments."""
        pip = [sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python", "install", "--quiet"]
        subprocess.run([*pip, *arguments], check=True, timeout=120)

    def run(self, *command: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A program of this environment, in a folder. Raises AssertionError with what it said when it fails."""
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=directory,
            env=self.environment(directory) | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def environment(self, home: Path) -> dict[str, str]:
        """What a person's terminal has."""
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "LC_ALL": "C.UTF-8"}


class InstalledServer(Process):
    """`tledger up` in a folder, on free ports."""

    start_seconds = 110.0
    stop_signal = signal.SIGINT

    def __init__(self, venv: Venv, home: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.ports = {name: free_port() for name in PORTS}
        ports = {name: str(port) for name, port in self.ports.items()}
        super().__init__(
            [venv.folder / "bin" / "tledger", "up", *arguments],
            name="tledger-up",
            environment=venv.environment(home) | ports | dict(settings or {}),
            directory=home,
        )

    def is_ready(self) -> bool:
        return READY in self.log_of_this_run

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    @property
    def key(self) -> str:
        lines = (self.home / ".taskledger" / "embedded.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)["ADMIN_API_KEY"]

    def completed(self, type_: str, payload: Any) -> Any:
        """The result of a task that is submitted now. Raises AssertionError when it has none soon."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = requests.post(
            f"{self.url}/api/v1/tasks", json={"type": type_, "payload": payload}, headers=headers, timeout=10
        )
        assert answer.status_code == 201, answer.text
        address = f"{self.url}/api/v1/tasks/{answer.json()['id']}"
        task = requests.get(address, params={"wait": 10}, headers=headers, timeout=20).json()
        assert task["status"] == "COMPLETED", task
        return task["result"]
