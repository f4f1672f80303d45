"""An engine, and what is built once for the whole suite."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import unavailable
from tests.containers.installation import PATH, Installation, installed

NO_ENGINE = "Docker: no engine answers; `make containers` installs one on Debian, as root (tests/containers/engine.sh)"


@pytest.fixture(scope="session")
def engine() -> None:
    """Docker Engine and Compose."""
    try:
        done = subprocess.run(["docker", "compose", "version"], env={"PATH": PATH}, capture_output=True)
        answers = subprocess.run(["docker", "version"], env={"PATH": PATH}, capture_output=True)
    except FileNotFoundError:
        unavailable(NO_ENGINE)
    if done.returncode or answers.returncode:
        unavailable(NO_ENGINE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, engine) -> Path:
    return tmp_path_factory.mktemp("containers")


@pytest.fixture(scope="session")
def configured(folder) -> Iterator[Installation]:
    """An installation that is never started, with secrets."""
    with installed(folder / "configured", "taskledger-configured") as installation:
        installation.run("python3", "deploy/compose/make_secrets.py")
        yield installation
