"""The Python client against the real service: every method of both clients, and the programs of its page."""

import asyncio
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from taskledger_sdk import AsyncClient, Client, Submission
from taskledger_sdk.client import Conflict, Invalid, NotFound, new_id
from tests.conftest import empty_broker_url
from tests.support.servers.stack import Stack
from tests.unit.documents import python_blocks

pytestmark = pytest.mark.timeout(300)  # three programs start, and are awaited as long as a busy machine needs

DEFINITION = {"steps": {"shout": {"type": "uppercase_text", "payload": {"$from": "input.text"}}}}
PROGRAMS = [
    each
    for each in python_blocks()
    if each.page.name == "python-client.md" or (each.page.name == "README.md" and "Client()" in each.text)
]
LATER = timedelta(hours=1)


@pytest.fixture(scope="module")
def stack(databases, request, tmp_path_factory) -> Iterator[Stack]:
    database_url = databases.create(f"client_{uuid4().hex[:8]}")
    files = f"file://{tmp_path_factory.mktemp('files')}"
    with Stack(database_url=database_url, broker_url=empty_broker_url(request), artifacts_url=files) as stack:
        yield stack
    databases.drop(database_url)


def key_of(stack: Stack) -> str:
    return str(stack.http.headers["Authorization"]).removeprefix("Bearer ")


class Called:
    """A client, or a part of one, that remembers which of its methods were called. An AsyncClient's are awaited."""

    def __init__(self, client: Any, called: set[str], loop: asyncio.AbstractEventLoop | None, prefix: str = "") -> None:
        self._client = client
        self._called = called
        self._loop = loop
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return Called(found, self._called, self._loop, f"{name}.")
        self._called.add(f"{self._prefix}{name}")
        return lambda *given, **named: self._now(found(*given, **named))

    def _now(self, answer: Any) -> Any:
        if inspect.isawaitable(answer):
            return self._loop.run_until_complete(answer)
        return self._each(answer) if hasattr(answer, "__anext__") else answer

    def _each(self, answers: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run_until_complete(anext(answers))
            except StopAsyncIteration:
                return


def work(client: Any, stack: Stack, kind: type) -> None:
    name = f"echo_{kind.__name__.lower()}"
    assert stack.post("/task-types", {"name": name, "schema": {"type": "string"}}).status_code == 201
    ids = [stack.submit(name, text) for text in ("one", "two")]
    stop: Any = asyncio.Event() if kind is AsyncClient else threading.Event()
    seen: list[str] = []

    def echo(task: Any, payload: str) -> str:
        task.progress(0.5, "half")
        seen.append(payload)
        if len(seen) == len(ids):
            stop.set()
        return payload * 2

    async def echo_later(task: Any, payload: str) -> str:
        await asyncio.sleep(0)
        return echo(task, payload)

    client.work({name: echo_later if kind is AsyncClient else echo}, concurrency=2, stop=stop)

    assert sorted(stack.task(each)["result"] for each in ids) == ["oneone", "twotwo"]
    [worker] = [each for each in stack.get("/workers").json()["items"] if name in each["types"]]
    assert (worker["kind"], worker["state"]) == ("remote", "stopped")


def methods_of(client: Any) -> set[str]:
    own = {name for name in vars(type(client)) if not name.startswith("_")}
    parts = {"artifacts": client.artifacts, "schedules": client.schedules}
    return own.union(*({f"{part}.{name}" for name in methods_of_part(each)} for part, each in parts.items()))


def methods_of_part(part: Any) -> set[str]:
    return {name for name in vars(type(part)) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_method(kind, stack, tmp_path):
    client = kind(stack.api.url, key_of(stack))
    called: set[str] = set()
    with asyncio.Runner() as runner:
        every = Called(client, called, runner.get_loop() if kind is AsyncClient else None)
        try:
            tasks(every, str(uuid4()))
            runs(every, stack, kind.__name__.lower())
            waits(every, stack)
            outside_events(every)
            files(every, tmp_path)
            work(every, stack, kind)
            schedules(every, kind.__name__)
        finally:
            every.close()
    assert called == methods_of(client)


def tasks(client: Any, label: str) -> None:
    labels = {"test": label}
    assert "reverse_string" in {each.name for each in client.types()}
    begun = client.submit("reverse_string", "before", labels=labels)
    stream = client.stream(labels=labels, after="0")
    seen = [next(stream).status for _ in range(3)]
    assert seen == ["PENDING", "PROCESSING", "COMPLETED"]
    done = client.wait(begun, timeout=60)
    assert (done.status, done.result) == ("COMPLETED", "erofeb")
    assert done.created_at <= done.started_at <= done.finished_at <= datetime.now(UTC) + timedelta(seconds=5)
    assert client.get(done.id) == client.get(str(done.id))
    [attempt] = client.attempts(done)
    assert attempt.outcome
    assert client.logs(done) == ()

    later = client.submit("reverse_string", "later", labels=labels, scheduled_at=datetime.now(UTC) + LATER)
    assert client.why(later).cause == "not_due"
    read = client.get(later)
    changed = client.change(later, unless_changed=read, priority="high", name="mine")
    assert (changed.priority, changed.name) == ("high", "mine")
    with pytest.raises(Conflict):
        client.change(later, unless_changed=read, name="too late")
    assert client.cancel(later).status == "CANCELLED"
    assert client.cancel(later).status == "CANCELLED"
    assert client.retry(later, payload="again").status in ("PENDING", "SCHEDULED")
    client.cancel(later)
    assert {task.id for task in client.list(labels=labels, status=["COMPLETED", "CANCELLED"])} == {done.id, later.id}

    id_ = new_id()
    first = client.submit("reverse_string", "once", id=id_, labels=labels)
    again = client.submit("reverse_string", "once", id=id_, labels=labels)
    assert (first.is_new, again.is_new, first.id, again.id) == (True, False, id_, id_)
    with pytest.raises(Invalid) as caught:
        client.submit("reverse_string", "twice", id=id_, labels=labels)
    assert caught.value.code == "id_taken"
    with pytest.raises(Invalid) as caught:
        client.submit("reverse_string", 5)
    assert [path for path, _ in caught.value.field_errors()] == ["payload"]
    with pytest.raises(NotFound):
        client.get(uuid4())

    told: list[int] = []
    many = (Submission("no_such_type" if n == 3 else "reverse_string", str(n), {"labels": labels}) for n in range(700))
    results = list(client.submit_many(many, progress=told.append))
    assert [each.index for each in results if each.error] == [3]
    assert len({each.id for each in results if each.id}) == 699
    assert told == [500, 700]
    delete(client, done)


def delete(client: Any, task: Any) -> None:
    """It can be deleted once its events are numbered, which the dispatcher does soon."""
    until = time.monotonic() + 30
    while True:
        try:
            client.delete(task)
            return
        except Conflict:
            assert time.monotonic() < until
            time.sleep(0.2)


def runs(client: Any, stack: Stack, name: str) -> None:
    assert stack.post("/workflows", {"name": name, "definition": DEFINITION}).status_code == 201
    id_ = new_id()
    run = client.run_workflow(name, {"text": "hello"}, priority="high", id=id_)
    assert run.id == client.run_workflow(name, {"text": "hello"}, priority="high", id=id_).id == id_
    ended = client.wait_run(run, timeout=60)
    assert ended.status == "COMPLETED"
    assert [step.key for step in ended.steps] == ["shout"]
    assert client.get_run(run.id) == ended
    with pytest.raises(Conflict):
        client.cancel_run(run)


def waits(client: Any, stack: Stack) -> None:
    steps = {"approve": {"wait_for": "approved", "timeout": 600}}
    run = stack.post("/runs", {"definition": {"steps": steps}}).json()["id"]
    assert client.signal_run(run, "approved", {"by": "ada"}).name == "approved"
    ended = client.wait_run(run, timeout=60)
    assert ended.status == "COMPLETED"
    [step] = ended.steps
    assert ("approved", "DONE") in [(each.name, each.state) for each in client.steps(step.task_id)]

    later = client.submit("reverse_string", "later", scheduled_at=datetime.now(UTC) + LATER)
    client.signal(later, "early", [1])
    assert [(each.name, each.data) for each in client.signals(later)] == [("early", [1])]
    client.cancel(later)


def outside_events(client: Any) -> None:
    event = client.send_event("order.paid", {"id": 7}, idempotency_key=uuid4().hex)
    assert client.get_event(event.id).name == "order.paid"


def files(client: Any, folder: Any) -> None:
    content, told = b"0123456789" * 300_000, []
    path = folder / "numbers.txt"
    path.write_bytes(content)
    made = client.artifacts.upload(path, progress=lambda done, size: told.append((done, size)))
    assert told[-1] == (len(content), len(content))
    assert (made.name, made.media_type, made.size) == ("numbers.txt", "text/plain", len(content))
    assert client.artifacts.get(made) == made
    assert made.id in {each.id for each in client.artifacts.list()}
    told.clear()
    client.artifacts.download(made, folder / "back.txt", progress=lambda done, size: told.append((done, size)))
    assert (folder / "back.txt").read_bytes() == content
    assert told[-1] == (len(content), len(content))
    client.artifacts.delete(made)
    with pytest.raises(NotFound):
        client.artifacts.download(made)


def schedules(client: Any, name: str) -> None:
    task = {"type": "reverse_string", "payload": "at night"}
    made = client.schedules.create(name=f"{name} one", cron="0 2 * * *", task=task)
    put = client.schedules.put(f"{name} two", cron="0 3 * * *", task=task)
    again = client.schedules.put(f"{name} two", cron="0 4 * * *", task=task)
    assert (again.id, again.cron) == (put.id, "0 4 * * *")
    assert client.schedules.change(made, enabled=False).next_at is None
    assert {each.id for each in client.schedules.list()} >= {made.id, put.id}
    for each in (made, put):
        client.schedules.delete(each)
    with pytest.raises(NotFound):
        client.schedules.get(made)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_of_the_page_run(block, stack, tmp_path):
    environment = {**os.environ, "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key_of(stack)}
    if "from payloads import" in block.text:
        write = [sys.executable, "-m", "taskledger_sdk.cli", "types", "--python", "--out", "payloads.py"]
        subprocess.run(write, env=environment, cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or "assert" in block.text
