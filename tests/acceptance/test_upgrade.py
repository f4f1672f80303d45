"""The version before this one runs on this one's tables, and a rolling upgrade under load loses nothing."""

import subprocess
import tarfile
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.conftest import empty_broker_url, unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.programs import Api, Dispatcher, Worker, by_celery
from tests.support.servers.stack import Stack

pytestmark = pytest.mark.long

VERSIONS = "app/migrations/versions"


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, timeout=60)
    return done.stdout if done.returncode == 0 else b""


def version_before() -> str:
    """The last commit of the main line that had some of today's migrations and no other; empty where git knows none."""
    ours = {f"{VERSIONS}/{path.name}" for path in (ROOT / VERSIONS).glob("[0-9]*.py")}
    for commit in git("log", "--first-parent", "-m", "--format=%H^1", "--", VERSIONS).decode().split():
        theirs = {
            name for name in git("ls-tree", "--name-only", commit, f"{VERSIONS}/").decode().split() if "/0" in name
        }
        if theirs and theirs < ours:
            return git("rev-parse", commit).decode().strip()
    return ""


@pytest.fixture(scope="module")
def previous(tmp_path_factory) -> Path:
    """The checkout of the version before."""
    commit = version_before()
    archive = git("archive", commit) if commit else b""
    if not archive:
        unavailable("the history of this repository is not here, so the version before cannot be run")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def old(databases, request, previous):
    """The version before, all of it, on the tables of this one."""
    database_url = databases.create(f"upgrade_{uuid4().hex[:8]}")
    stack = Stack(database_url=database_url, broker_url=empty_broker_url(request))
    for process in (stack.api, stack.worker, stack.dispatcher):
        process.directory, process.command = previous, by_celery(process.command)
        process.environment = {**process.environment, "PYTHONPATH": str(previous / "sdk" / "python")}  # its own, too
        # Each version is started as its own documents say: the one before knows no worker class of ours yet.
        if not any((previous / "app").glob("server*")):
            process.command = ["gthread" if part == "app.server.Threads" else part for part in process.command]
    with stack:
        yield stack
    databases.drop(database_url)


def test_the_version_before_is_another_one(previous):
    ours = {path.name for path in (ROOT / VERSIONS).glob("[0-9]*.py")}
    theirs = {path.name for path in (previous / VERSIONS).glob("[0-9]*.py")}

    assert theirs < ours


def test_the_version_before_works_on_the_new_tables(old):
    done = old.submit("reverse_string", "hello world")
    later = old.submit("reverse_string", "not now", scheduled_at="2099-01-01T00:00:00Z")
    failed = old.submit("fibonacci_calc", 3, max_retries=0, labels={"team": "old"})

    old.wait_until("COMPLETED", [done, failed])

    assert old.task(done)["result"] == "dlrow olleh"
    assert old.events(done) == ["PENDING", "PROCESSING", "COMPLETED"]
    assert old.post(f"/tasks/{later}/cancel", None).json()["status"] == "CANCELLED"
    assert old.get("/tasks", label="team:old").json()["items"][0]["id"] == failed
    assert requests.get(f"{old.api.url}/health/ready", timeout=10).status_code == 200


class Load:
    """Submits without a break, to whichever API answers, and repeats what broke with the same key."""

    def __init__(self, stack, apis, path) -> None:
        self._http = requests.Session()
        self._http.headers.update(stack.http.headers)
        self._apis, self._path = apis, str(path)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.ids: list[str] = []
        self.refused: list[str] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            body, key = {"type": "append_line", "payload": {"path": self._path}}, {"Idempotency-Key": uuid4().hex}
            for api in [*self._apis, *self._apis]:
                try:
                    answer = self._http.post(f"{api.url}/api/v1/tasks", json=body, headers=key, timeout=20)
                except requests.RequestException:
                    continue
                if answer.status_code in (200, 201):
                    self.ids.append(answer.json()["id"])
                    break
            else:
                self.refused.append(key["Idempotency-Key"])


def test_a_rolling_upgrade_under_load_loses_nothing(old, tmp_path):
    runs = tmp_path / "runs"
    new = (Api(old.environment), Dispatcher(old.environment), Worker(old.environment))
    api, dispatcher, worker = new
    try:
        with Load(old, [api, old.api], runs) as load:
            for fresh, gone in ((worker, old.worker), (dispatcher, old.dispatcher), (api, old.api)):
                fresh.start().wait_until_ready()
                gone.stop()
        old.wait_until("COMPLETED", load.ids, timeout=60)
    finally:
        for process in new:
            process.end()

    assert load.refused == []
    assert len(load.ids) > 50
    recorded = old.rows(
        "SELECT task_id FROM task_events WHERE status = 'COMPLETED' AND task_id = ANY(%(ids)s::uuid[])",
        {"ids": load.ids},
    )
    assert set(Counter(str(row["task_id"]) for row in recorded).values()) == {1}
    assert {line.split()[0] for line in runs.read_text().splitlines()} == set(load.ids)
