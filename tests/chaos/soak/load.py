"""The load: tasks of all sorts that need nobody outside, batches, schedules, runs, cancellations, replays."""

import contextlib
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2

from tasks.handlers.generate_pdf import EXAMPLE_REPORT
from tests.chaos.soak.accounts import CANCELLED_OR_DONE, COMPLETED, FAILED, Accounts
from tests.chaos.soak.client import Client, Ended
from tests.chaos.soak.files import PICTURE, TABLE

MAX_UNFINISHED = 300  # tasks: more would only be a backlog to work off at the end
RETRIES = 20  # a task that is hit again and again by what kills processes shall still end well
WORKFLOW = {
    "first": {"type": "uppercase_text", "payload": "soak"},
    "second": {"type": "reverse_string", "payload": {"$from": "steps.first.result"}, "after": ["first"]},
    "beside": {"type": "fibonacci_calc", "payload": 90, "after": ["first"]},
    "last": {"type": "uppercase_text", "payload": {"$from": "steps.second.result"}, "after": ["second", "beside"]},
}
FAILING = {
    "done": {
        "type": "uppercase_text",
        "payload": "x",
        "compensate_with": {"type": "reverse_string", "payload": {"$from": "steps.done.result"}},
    },
    "fails": {"type": "drill", "payload": {"message": "to be undone"}, "after": ["done"]},
}


class Load:
    """Threads that go on until they are told to stop; each draws from its own chance, so that a seed gives one mix."""

    def __init__(
        self,
        client: Client,
        accounts: Accounts,
        *,
        trace: Path,
        callback_url: str,
        unfinished: Callable[[], int],
        seed: int,
        ending: threading.Event,
    ) -> None:
        """`unfinished`: how many tasks have not ended yet; may take as long as the database is away."""
        self._client, self._accounts = client, accounts
        self._trace, self._callback_url, self._seed = str(trace), callback_url, seed
        self._unfinished, self._ending = unfinished, ending
        self._is_crowded = False
        self._stopping = threading.Event()
        self._dead: list[str] = []
        self._files: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self.failures: list[str] = []

    def prepare(self) -> None:
        """What the tasks work on: a table, a picture, two workflows."""
        for name, content in (("table.csv", TABLE), ("picture.png", PICTURE)):
            answer = self._client.post("/artifacts", files={"file": (name, content)})
            assert answer.status_code == 201, answer.text
            self._files[name] = answer.json()["id"]
        for name, steps in (("soak", WORKFLOW), ("soak-failing", FAILING)):
            answer = self._client.post("/workflows", {"name": name, "definition": {"steps": steps}})
            assert answer.status_code == 201, answer.text

    def start(self) -> None:
        """Begin. Some twenty tasks a second come of it where nothing is broken."""
        paces: list[tuple[Callable[[random.Random], None], float]] = [
            (self._submit_one, 0.2),
            (self._submit_one, 0.2),
            (self._submit_batch, 3.0),
            (self._submit_scheduled, 1.5),
            (self._submit_schedule, 4.0),
            (self._start_run, 2.0),
            (self._submit_and_cancel, 1.0),
            (self._replay, 1.0),
        ]
        threading.Thread(target=self._watch_backlog, daemon=True).start()
        for number, (work, every) in enumerate(paces):
            thread = threading.Thread(target=self._repeat, args=(work, every, self._seed + number), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Begin nothing more, and return when what was begun is accepted."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        self._ending.set()

    def all_types(self, times: int) -> None:
        """A batch after which each child of the workers has run each type: what they load is loaded."""
        bodies = [body for _ in range(times) for body, _ in self._kinds(random.Random(0)).values()]
        self._post_batch("warming batch", [each for each in bodies if "callback_url" not in each])

    def _watch_backlog(self) -> None:
        while not self._stopping.wait(1.0):
            with contextlib.suppress(psycopg2.Error):
                self._is_crowded = self._unfinished() > MAX_UNFINISHED

    def _repeat(self, work: Callable[[random.Random], None], every: float, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stopping.wait(every * chance.uniform(0.5, 1.5)):
            if self._is_crowded:
                continue
            try:
                work(chance)
            except Ended:
                return
            except Exception as error:
                self.failures.append(f"{work.__name__}: {error!r}")

    def _kinds(self, chance: random.Random) -> dict[str, tuple[dict[str, Any], frozenset[str]]]:
        """One task of each kind, and how it has to end."""
        table, picture = self._files["table.csv"], self._files["picture.png"]
        line = {"description": "Beans", "quantity": "2", "unit_price": "9.50", "tax_percent": "7"}
        month = {"date_from": "2026-01-01", "date_to": "2026-01-31"}
        invoice = {"customer_id": uuid4().hex[:12], "customer_name": "Ann", **month, "lines": [line]}
        count = {"name": "rows", "function": "count"}
        aggregate = {"dataset": table, "operation": "aggregate", "group_by": ["name"], "measures": [count]}
        payloads: dict[str, tuple[str, Any, frozenset[str]]] = {
            "upper": ("uppercase_text", "soak", COMPLETED),
            "reverse": ("reverse_string", "soak", COMPLETED),
            "fibonacci": ("fibonacci_calc", chance.randrange(300), COMPLETED),
            "traced": ("trace_run", {"path": self._trace, "seconds": round(chance.uniform(0, 1.5), 2)}, COMPLETED),
            "sleeping": ("sleep_for", round(chance.uniform(0.2, 3), 2), COMPLETED),
            "reporting": ("drill", {"steps": 5}, COMPLETED),
            "failing": ("drill", {"message": "for good"}, FAILED),
            "twice": ("fail_twice", "x", COMPLETED),
            "sometimes": ("fail_sometimes", {"percent": 30}, COMPLETED),
            "table": ("data_processing", aggregate, COMPLETED),
            "picture": ("resize_image", {"artifact": picture, "width": 40, "height": 40}, COMPLETED),
            "invoice": ("create_invoice", invoice, COMPLETED),
            "report": ("generate_pdf", EXAMPLE_REPORT, COMPLETED),
            "children": ("hand_out", {"parts": [{}, {"now": True, "key": "at once"}]}, COMPLETED),
        }
        kinds: dict[str, tuple[dict[str, Any], frozenset[str]]] = {
            kind: ({"type": type_, "payload": payload, "max_retries": RETRIES}, right)
            for kind, (type_, payload, right) in payloads.items()
        }
        called = {"type": "uppercase_text", "payload": "call", "callback_url": self._callback_url}
        kinds["called back"] = ({**called, "max_retries": RETRIES}, COMPLETED)
        return kinds

    def _submit_one(self, chance: random.Random) -> None:
        kinds = self._kinds(chance)
        kind = chance.choice(sorted(kinds))
        body, right = kinds[kind]
        task_id = self._accepted(kind, body, right)
        if kind == "called back":
            self._accounts.awaiting_call.add(task_id)
        if kind == "failing":
            self._dead.append(task_id)

    def _accepted(self, kind: str, body: dict[str, Any], right: frozenset[str]) -> str:
        answer = self._client.post("/tasks", body)
        assert answer.ok, f"{kind}: {answer.status_code} {answer.text}"
        task_id = str(answer.json()["id"])
        self._accounts.accept(kind, task_id, right)
        return task_id

    def _submit_batch(self, chance: random.Random) -> None:
        names = ("upper", "reverse", "fibonacci", "traced")
        kinds = self._kinds(chance)
        self._post_batch("in a batch", [kinds[chance.choice(names)][0] for _ in range(20)])

    def _post_batch(self, kind: str, bodies: list[dict[str, Any]]) -> None:
        answer = self._client.post("/tasks/batch", {"tasks": bodies})
        assert answer.ok, f"{kind}: {answer.status_code} {answer.text}"
        for body, result in zip(bodies, answer.json()["results"], strict=True):
            is_failing = body["type"] == "drill" and "message" in body["payload"]
            self._accounts.accept(kind, result["task"]["id"], FAILED if is_failing else COMPLETED)

    def _submit_scheduled(self, chance: random.Random) -> None:
        at = datetime.now(UTC) + timedelta(seconds=chance.uniform(2, 15))
        body = {"type": "reverse_string", "payload": "later", "scheduled_at": at.isoformat(), "max_retries": RETRIES}
        self._accepted("scheduled", body, COMPLETED)

    def _submit_schedule(self, chance: random.Random) -> None:
        at = datetime.now(UTC) + timedelta(seconds=chance.uniform(5, 15))
        task = {"type": "uppercase_text", "payload": "slot", "max_retries": RETRIES}
        answer = self._client.post("/schedules", {"run_at": at.isoformat(), "task": task})
        if answer.status_code == 422 and datetime.now(UTC) >= at:
            return  # it was away for so long that the moment has passed
        assert answer.ok, answer.text
        self._accounts.accept_schedule(answer.json()["id"])

    def _start_run(self, chance: random.Random) -> None:
        name, right = ("soak-failing", "COMPENSATED") if chance.random() < 0.2 else ("soak", "COMPLETED")
        answer = self._client.post(f"/workflows/{name}/runs", {})
        assert answer.ok, answer.text
        self._accounts.accept_run(answer.json()["id"], right)

    def _submit_and_cancel(self, chance: random.Random) -> None:
        body = {"type": "sleep_for", "payload": 2.0, "max_retries": RETRIES}
        if chance.random() < 0.3:
            body["scheduled_at"] = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
        task_id = self._accepted("cancelled", body, CANCELLED_OR_DONE)
        self._stopping.wait(chance.uniform(0, 2))
        answer = self._client.post(f"/tasks/{task_id}/cancel", {})
        assert answer.ok or answer.status_code == 409, answer.text

    def _replay(self, _chance: random.Random) -> None:
        if not self._dead:
            return
        task_id = self._dead.pop(0)
        if self._client.get(f"/tasks/{task_id}").json()["status"] != "FAILED":
            self._dead.append(task_id)
            return
        answer = self._client.post(f"/tasks/{task_id}/retry", {})
        if answer.ok:
            self._accounts.replayed(task_id)
