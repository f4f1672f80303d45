"""`make run`: one command starts everything, keeps it running, and stops it without losing anything."""

import json
import os
import signal

import psutil
import psycopg2
import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.embedded import Embedded
from tests.support.servers.processes import runs
from tests.support.servers.waiting import wait_for

TOGETHER = ["api", "demo_orders", "dispatcher", "flower", "mail_catcher", "sinks", "worker"]
STORES = ["valkey", "postgres"]
TEST_TYPES = str(ROOT / "tests/support/task_types")
KNOW_TEST_TYPES = f"import tasks.handlers\ntasks.handlers.__path__.append({TEST_TYPES!r})\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """One var directory for the module; its programs know the task types of tests/support/task_types/ as well."""
    customized = tmp_path_factory.mktemp("site")
    (customized / "sitecustomize.py").write_text(KNOW_TEST_TYPES)
    embedded = Embedded(settings={"PYTHONPATH": os.pathsep.join((str(customized), str(ROOT)))})
    yield embedded
    embedded.end()


@pytest.fixture
def embedded(installation):
    """It runs and is ready; a test may stop or kill it."""
    if not installation.is_running:
        installation.start()
    return installation.wait_until_ready()


def test_the_printed_curl_returns_the_result(embedded):
    answer = json.loads(embedded.paste_the_curl())

    assert (answer["status"], answer["result"]) == ("COMPLETED", "dlrow olleh")


def test_psql_and_dbeaver_connect_with_the_printed_address_and_no_other_password(embedded):
    address = embedded.secrets["DATABASE_URL"]

    connection = psycopg2.connect(address)
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(address.replace(embedded.secrets["POSTGRES_PASSWORD"], "guessed"))

    assert f'psql "{address}"' in embedded.log_of_this_run


def test_flower_asks_for_the_printed_password_and_shows_the_worker(embedded):
    address = f"http://127.0.0.1:{embedded.ports['FLOWER_PORT']}/api/workers"
    login = ("taskledger", embedded.secrets["FLOWER_PASSWORD"])

    assert requests.get(address, timeout=10).status_code == 401
    workers = wait_for(
        lambda: requests.get(address, params={"refresh": 1}, auth=login, timeout=30).json(),
        timeout=30,
        what="Flower sees the worker",
    )

    (worker,) = workers.values()
    assert any("reverse_string" in registered for registered in worker["registered"])


def test_only_the_owner_can_read_the_secrets_and_no_command_line_shows_them(embedded):
    shown = " ".join(" ".join(process.cmdline()) for process in embedded.programs())

    for name in ("embedded.env", "valkey.conf", "supervisord.conf"):
        assert (embedded.var_dir / name).stat().st_mode & 0o077 == 0
    assert not [secret for secret in embedded.secrets.values() if secret in shown]


def test_a_ctrl_c_of_the_terminal_reaches_the_supervisor_alone(embedded):
    groups = {os.getpgid(process.pid) for process in embedded.programs()}

    assert os.getpgid(embedded.pid) not in groups


@pytest.mark.parametrize("name", ["api", "sinks", "worker", "dispatcher", "flower", "valkey", "postgres"])
def test_a_killed_program_is_started_again_and_tasks_run(embedded, name):
    killed = embedded.program_pid(name)

    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: embedded.program_pid(name) != killed, timeout=10, what=f"{name} is started again")

    def completes() -> bool:
        try:
            return embedded.task(embedded.submit("uppercase_text", "ok"), wait=10)["result"] == "OK"
        except (requests.ConnectionError, requests.Timeout, AssertionError):  # it is on its way
            return False

    wait_for(completes, timeout=40, what=f"tasks run again after {name} was killed")


def test_ctrl_c_lets_a_running_task_finish_and_keeps_those_that_wait(embedded):
    running = embedded.submit("sleep_for", 3.0)
    wait_for(lambda: embedded.task(running)["status"] == "PROCESSING", what="the task runs")
    waiting = [embedded.submit("reverse_string", f"text {number}") for number in range(50)]
    seen_before = len(embedded.stopped)
    secrets = embedded.secrets

    status = embedded.stop()
    stopped = embedded.stopped[seen_before:]
    embedded.start().wait_until_ready()

    assert (status, sorted(stopped[:-2]), stopped[-2:]) == (0, TOGETHER, STORES)
    assert embedded.secrets == secrets
    assert embedded.task(running)["attempt"] == 1
    assert embedded.task(running)["result"] == 3.0
    assert {embedded.task(task_id, wait=20)["status"] for task_id in waiting} == {"COMPLETED"}


def test_a_second_ctrl_c_ends_everything_at_once(embedded):
    running = embedded.submit("sleep_for", 15.0)
    wait_for(lambda: embedded.task(running)["status"] == "PROCESSING", what="the task runs")
    programs = embedded.programs()

    embedded.send(signal.SIGINT)
    wait_for(lambda: "Stopping" in embedded.log_of_this_run, what="the stop begins")
    wait_for(lambda: _press_again(embedded), timeout=4, what="it ends at once")

    assert embedded.wait() == 130
    assert not [process for process in programs if runs(process)]


def _press_again(embedded: Embedded) -> bool:
    """Press once more while it only stops in order; say whether it ends at once."""
    ends = "Ending at once." in embedded.log_of_this_run
    if not ends:
        embedded.send(signal.SIGINT)
    return ends


@pytest.mark.long
def test_a_lost_file_of_secrets_costs_no_data(embedded):
    task_id = embedded.submit("reverse_string", "kept")
    embedded.task(task_id, wait=10)
    programs = embedded.programs()
    embedded.kill()
    wait_for(lambda: not [process for process in programs if runs(process)], timeout=10, what="all programs are gone")
    before = embedded.secrets
    (embedded.var_dir / "embedded.env").unlink()

    embedded.start().wait_until_ready()

    assert embedded.secrets["POSTGRES_PASSWORD"] != before["POSTGRES_PASSWORD"]
    assert embedded.task(task_id)["result"] == "tpek"


def test_a_killed_supervisor_leaves_no_program_behind(embedded):
    programs = embedded.programs()

    embedded.kill()

    wait_for(lambda: not [process for process in programs if runs(process)], timeout=10, what="all programs are gone")


@pytest.mark.long
def test_a_normal_user_can_run_it_and_sigterm_stops_it():
    with Embedded(as_normal_user=True) as theirs:
        answer = json.loads(theirs.paste_the_curl())
        owners = {process.uids().real for process in [psutil.Process(theirs.pid), *theirs.programs()]}
        theirs.send(signal.SIGTERM)
        status = theirs.wait(timeout=30)

        assert answer["result"] == "dlrow olleh"
        assert len(owners) == 1
        assert 0 not in owners
        assert (status, sorted(theirs.stopped[:-2]), theirs.stopped[-2:]) == (0, TOGETHER, STORES)
