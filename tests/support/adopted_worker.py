"""A worker of adopted tasks within a test's own process: it runs their functions, and tells what came of it."""

import threading
import time
from typing import Any
from uuid import uuid4

import requests
from celery import Celery

from taskledger_sdk.celery import payloads
from taskledger_sdk.celery.payloads import Note


class AdoptedWorker:
    """Works off the tasks of one application, one at a time, from `with` to its end."""

    def __init__(self, app: Celery, url: str, key: str) -> None:
        self._app = app
        self._work = f"{url}/api/v1/work"
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {key}"
        self._types = {payloads.type_name(name): name for name in app.tasks if name.startswith("shop.")}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.options: list[dict[str, Any]] = []
        """What the calls said beside their arguments, in the order in which they ran."""

    def declare(self, url: str) -> None:
        """Declare the tasks, as an admin."""
        for name in self._types:
            body = {"name": name, "schema": payloads.payload_schema(), "retry": {"max_retries": 0}}
            answer = self._http.post(f"{url}/api/v1/task-types", json=body, timeout=10)
            assert answer.status_code == 201, answer.text

    def __enter__(self) -> "AdoptedWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            body = {"types": list(self._types), "worker": "adopted", "max": 20, "claim": str(uuid4())}
            answer = self._http.post(f"{self._work}/claim", json=body, timeout=30)
            items = answer.json().get("items", [])
            for item in items:
                self._tell(item, *self._outcome(item))
            if not items:
                time.sleep(0.01)

    def _outcome(self, item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        called = payloads.decode_call(item["payload"])
        self.options.append(dict(called.options))
        task = self._app.tasks[self._types[item["type"]]]
        try:
            result = task.run(*called.args, **called.kwargs)
        except Exception as error:
            failure = payloads.failure_of(error)
            return "fail", {"type": failure.type, "message": failure.message, "permanent": True}
        if isinstance(result, Telling):
            note = payloads.write_note(Note(state=result.state, meta=result.meta))
            self._tell(item, "heartbeat", {"message": note, "progress": payloads.fraction_of(result.meta)})
            result.told.set()
            result.may_end.wait(20)
            return "complete", {"result": None}
        return "complete", {"result": payloads.encode(result, "the result")}

    def _tell(self, item: dict[str, Any], what: str, said: dict[str, Any]) -> None:
        self._http.post(f"{self._work}/{item['task_id']}/{what}", json={"lease": item["lease"], **said}, timeout=30)


class Telling:
    """What a task returns here to have a state told, and to run on until the test lets it end."""

    def __init__(self, state: str, meta: Any) -> None:
        self.state, self.meta = state, meta
        self.told, self.may_end = threading.Event(), threading.Event()
