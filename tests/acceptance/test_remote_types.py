"""Remote types beside the rest of the service: limits, order, schedules and workflow steps, up to their claims."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "of": {"type": "string"}}}
Item = dict[str, Any]


class RemoteWorker:
    """Claims over HTTP, and tells what became of its tasks."""

    def __init__(self, stack: Stack, type_name: str) -> None:
        self.type = type_name
        self._url = f"{stack.api.url}/api/v1/work"
        key = stack.post("/api-keys", {"name": "worker", "scopes": ["work"], "allowed_types": [type_name]})
        self._headers = {"Authorization": f"Bearer {key.json()['key']}"}

    def claim(self, *, wait: int = 0, most: int = 10) -> list[Item]:
        body = {"types": [self.type], "worker": "w-1", "claim": str(uuid4()), "wait": wait, "max": most}
        items: list[Item] = self._post("claim", body).json()["items"]
        return items

    def complete(self, item: Item, result: Any = None) -> None:
        said = self._post(f"{item['task_id']}/complete", {"lease": item["lease"], "result": result})
        assert said.status_code == 200, said.text

    def _post(self, path: str, body: Any) -> requests.Response:
        return requests.post(f"{self._url}/{path}", json=body, headers=self._headers, timeout=40)


@pytest.fixture
def declared(stack: Stack) -> Callable[..., RemoteWorker]:
    """Declares a remote type, and answers a worker of it."""

    def declare(**options: Any) -> RemoteWorker:
        name = f"remote_{uuid4().hex[:8]}"
        answer = stack.post("/task-types", {"name": name, "schema": SCHEMA, **options})
        assert answer.status_code == 201, answer.text
        return RemoteWorker(stack, name)

    return declare


def submitted(stack: Stack, worker: RemoteWorker, count: int, **payload: Any) -> list[str]:
    tasks = [{"type": worker.type, "payload": {"n": n, **payload}} for n in range(count)]
    return [each["task"]["id"] for each in stack.post("/tasks/batch", {"tasks": tasks}).json()["results"]]


def test_no_more_are_claimed_than_may_run_at_once(stack, declared):
    worker = declared(concurrency=2)
    ids = submitted(stack, worker, 7)
    held: list[Item] = []
    most = 0

    def are_over() -> bool:
        nonlocal most
        held.extend(worker.claim(wait=1))
        most = max(most, len(held))
        if held:
            worker.complete(held.pop(0))
        return stack.statuses(ids).get("COMPLETED", 0) == len(ids)

    wait_for(lambda: len(held) == 2 or held.extend(worker.claim(wait=1)), timeout=20)
    assert worker.claim() == []
    holders = {item["task_id"] for item in held}
    why = stack.get(f"/tasks/{ids[-1]}/why").json()
    wait_for(are_over, timeout=30)

    assert most == 2
    assert why["cause"] == "limit_reached"
    assert set(why["evidence"]["holders"]) == holders


def test_no_more_are_claimed_than_may_start_in_a_time(stack, declared):
    worker = declared(rate="3/s")
    ids = submitted(stack, worker, 9)
    claimed: list[Item] = []

    def all_claimed() -> bool:
        claimed.extend(worker.claim(wait=1))
        return len(claimed) == len(ids)

    wait_for(all_claimed, timeout=30)
    starts = sorted(datetime.fromisoformat(stack.task(task_id)["started_at"]) for task_id in ids)
    for item in claimed:
        worker.complete(item)

    # A bucket of three is full at first, and gains three a second: nine take two seconds.
    assert starts[-1] - starts[0] > timedelta(seconds=1.5)


def test_tasks_of_a_key_are_claimed_one_after_the_other_in_their_order(stack, declared):
    worker = declared(ordering_key="payload.of")
    ids = submitted(stack, worker, 3, of="ada")
    order = []
    for _ in ids:
        [item] = wait_for(lambda: worker.claim(wait=2), timeout=20)
        assert worker.claim() == []
        order.append(item["task_id"])
        worker.complete(item)

    assert order == ids


def test_a_schedule_submits_tasks_of_a_remote_type(stack, declared):
    worker = declared()
    schedule = stack.post("/schedules", {"cron": "0 0 1 1 *", "task": {"type": worker.type, "payload": {"n": 1}}})
    assert schedule.status_code == 201, schedule.text

    task = stack.post(f"/schedules/{schedule.json()['id']}/run", None).json()
    [item] = wait_for(lambda: worker.claim(wait=2), timeout=20)
    worker.complete(item, "done")

    assert item["task_id"] == task["id"]
    assert stack.task(task["id"])["result"] == "done"
    refused = stack.post("/schedules", {"cron": "0 0 1 1 *", "task": {"type": worker.type, "payload": {"n": "x"}}})
    assert refused.status_code == 422


def test_a_step_of_a_workflow_is_of_a_remote_type(stack, declared):
    worker = declared()
    steps = {
        "first": {"type": worker.type, "payload": {"n": 1}},
        "then": {"type": "reverse_string", "payload": {"$from": "steps.first.result"}, "after": ["first"]},
        "last": {"type": worker.type, "payload": {"n": 2, "of": {"$from": "steps.then.result"}}, "after": ["then"]},
    }
    run = stack.post("/runs", {"definition": {"steps": steps}})
    assert run.status_code == 201, run.text
    seen = []
    for result in ("abc", "end"):
        [item] = wait_for(lambda: worker.claim(wait=2), timeout=20)
        seen.append(item["payload"])
        worker.complete(item, result)

    ended = wait_for(
        lambda: (told := stack.get(f"/runs/{run.json()['id']}").json())["finished_at"] and told, timeout=20
    )
    assert ended["status"] == "COMPLETED"
    assert seen == [{"n": 1}, {"n": 2, "of": "cba"}]
