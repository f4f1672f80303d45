"""`flask --app app backup` while everything runs, and `restore` to that moment: what was unfinished then runs again."""

import json
import subprocess
import sys
from uuid import uuid4

import psutil
import pytest

from tests.conftest import empty_broker_url
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import kill_all
from tests.support.servers.stack import Stack

LATER = "2099-01-01T00:00:00Z"

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]  # the story starts a dozen programs one after another


def flask(stack, *arguments, status=0):
    """Run a command of flask beside the services; its standard output, or what it complained about."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture(scope="module")
def stack(databases, request, tmp_path_factory):
    database_url = databases.create(f"backup_{uuid4().hex[:8]}")
    files = f"file://{tmp_path_factory.mktemp('files')}"
    with Stack(database_url=database_url, broker_url=empty_broker_url(request), artifacts_url=files) as stack:
        yield stack
    databases.drop(database_url)


@pytest.fixture(scope="module")
def story(stack, tmp_path_factory):
    """Tasks in every status, a backup, more life, a restore to the moment of the backup, and the services again."""
    folder = tmp_path_factory.mktemp("backups") / "one"
    stack.wait_until("COMPLETED", done := [stack.submit("uppercase_text", "done before")])
    file_id = _upload(stack, b"a,b\n1,2\n")
    running = [stack.submit("sleep_for", 4) for _ in range(2)]  # both children of the worker
    waiting = [stack.submit("sleep_for", 0.01) for _ in range(20)]
    stack.wait_until("PROCESSING", running)
    children = psutil.Process(stack.worker.pid).children(recursive=True)
    for child in children:
        child.suspend()  # in the backup as it is: claimed, by a worker that gives signs of life
    behind = [stack.submit("reverse_string", "hinted, and not taken") for _ in range(5)]
    later = stack.submit("reverse_string", "later", scheduled_at=LATER)

    said = json.loads(flask(stack, "backup", str(folder), "--json"))
    refused = flask(stack, "restore", str(folder), "--replace", status=1)

    stack.worker.kill()
    kill_all(children)
    future = [stack.submit("reverse_string", "after the backup") for _ in range(5)]  # hints of these stay in the queue
    assert stack.http.delete(f"{stack.api.url}/api/v1/artifacts/{file_id}", timeout=10).status_code == 204
    stack.rows(f"UPDATE tasks SET status = 'CANCELLED' WHERE id = '{later}'")
    stack.api.stop()
    stack.dispatcher.stop()
    stack._connection.close()
    no_replace = flask(stack, "restore", str(folder), status=1)
    restored = json.loads(flask(stack, "restore", str(folder), "--replace", "--json"))
    stack.reconnect()
    for process in (stack.worker, stack.dispatcher, stack.api):
        process.start()
    for process in (stack.worker, stack.dispatcher, stack.api):
        process.wait_until_ready()
    return {
        "said": said, "refused": refused, "no_replace": no_replace, "restored": restored, "folder": folder,
        "file_id": file_id, "done": done, "running": running, "waiting": [*waiting, *behind], "later": later,
        "future": future,
    }  # fmt: skip


def _upload(stack, content):
    address = f"{stack.api.url}/api/v1/artifacts"
    answer = stack.http.post(address, files={"file": ("rows.csv", content, "text/csv")}, timeout=10)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_backup_is_taken_while_everything_runs_and_says_what_it_holds(story):
    said = story["said"]

    assert said["tasks"]["COMPLETED"] >= 1
    assert (said["tasks"]["PROCESSING"], said["tasks"]["SCHEDULED"], said["artifacts"]) == (2, 1, 1)
    assert said["artifacts_missing"] == []
    assert not story["folder"].with_name("one.incomplete").exists()


def test_a_restore_refuses_while_services_are_connected_or_a_ledger_would_be_lost(story):
    assert "stop the API, the workers" in story["refused"]
    assert "--replace" in story["no_replace"]


def test_what_was_unfinished_at_the_backup_runs_and_nothing_is_charged_for_it(stack, story):
    stack.wait_until("COMPLETED", [*story["running"], *story["waiting"]], timeout=30)

    assert story["restored"]["given_back"] == 2
    for task_id in story["running"]:
        assert stack.task(task_id)["attempt"] == 1  # the one that was cut off was given back uncounted
        assert stack.events(task_id) == ["PENDING", "PROCESSING", "PENDING", "PROCESSING", "COMPLETED"]


def test_what_was_done_stays_done_and_what_was_to_come_is_to_come(stack, story):
    assert stack.events(story["done"][0]) == ["PENDING", "PROCESSING", "COMPLETED"]
    assert stack.task(story["later"])["status"] == "SCHEDULED"


def test_hints_from_after_the_backup_do_no_harm(stack, story):
    after = stack.submit("reverse_string", "behind them in the queue")
    stack.wait_until("COMPLETED", [after])

    assert stack.statuses(story["future"]) == {}
    assert stack.worker.is_running


def test_a_file_deleted_since_is_back_with_its_content(stack, story):
    answer = stack.http.get(f"{stack.api.url}/api/v1/artifacts/{story['file_id']}/content", timeout=10)

    assert (answer.status_code, answer.content) == (200, b"a,b\n1,2\n")


def test_nothing_of_the_old_ledger_is_left_beside_the_new_one(stack, story):
    schemas = stack.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before_restore%'")
    audited = stack.rows("SELECT detail FROM audit_log WHERE action = 'ledger.restored'")

    assert schemas == []
    assert [row["detail"]["taken_at"] for row in audited] == [story["said"]["taken_at"]]


def test_a_restore_that_fails_puts_everything_back(stack, story, databases, tmp_path):
    """The manifest agrees with the dump, and PostgreSQL does not like it."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "database.dump").write_bytes(b"no dump at all")
    manifest = json.loads((story["folder"] / "manifest.json").read_text())
    from app.commands.backup.folder import sha256_of

    (broken / "manifest.json").write_text(
        json.dumps(manifest | {"dump_sha256": sha256_of(broken / "database.dump")}), encoding="utf-8"
    )
    url = databases.create(f"broken_{uuid4().hex[:8]}")
    other = type("Other", (), {"environment": {**stack.environment, "DATABASE_URL": url}})

    said = flask(other, "restore", str(broken), "--replace", status=1)

    assert "pg_restore failed" in said
    assert json.loads(flask(other, "integrity", "--json"))["clean"] is True
    databases.drop(url)
