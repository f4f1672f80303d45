"""The API as the commands for tasks use it: where it is, which key to send, and what its problems mean."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import requests

from app.config import DEFAULT_VAR_DIR, EMBEDDED_FILE, read_embedded
from app.errors import TaskledgerError

DEFAULT_URL = "http://127.0.0.1:8000"
REFUSED, UNREACHABLE = 3, 4  # exit statuses; 1 is a task that did not complete, 2 a misuse of the command
TRIES = 3
PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 30.0
LONG_POLL_SECONDS = 2.0  # short, so that progress moves
BATCH = 500
PAGE = 200


class ApiFailed(TaskledgerError):
    """The API refused, or could not be reached; `exit_status` tells a script which."""

    def __init__(self, message: str, *, exit_status: int, http_status: int | None = None) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.http_status = http_status


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which service to talk to, and as whom."""

    url: str
    api_key: str

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ, *, url: str | None, api_key: str | None) -> "Target":
        """What was given; else TASKLEDGER_URL and TASKLEDGER_API_KEY; else a `make run` of this directory."""
        embedded = read_embedded(Path(environ.get("VAR_DIR") or DEFAULT_VAR_DIR) / EMBEDDED_FILE)
        found = url or environ.get("TASKLEDGER_URL") or embedded.get("TASKLEDGER_URL") or DEFAULT_URL
        key = api_key or environ.get("TASKLEDGER_API_KEY")
        # The key of the embedded mode is sent to the embedded mode only, never to an address from elsewhere.
        if not key and found == embedded.get("TASKLEDGER_URL"):
            key = embedded.get("ADMIN_API_KEY")
        return cls(url=found.rstrip("/"), api_key=key or "")


class Client:
    """Calls of the API. All of them raise ApiFailed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._http = requests.Session()
        self._http.headers["User-Agent"] = "taskledger-cli"
        if target.api_key:
            self._http.headers["Authorization"] = f"Bearer {target.api_key}"

    def submit(self, body: Mapping[str, Any], *, key: str | None) -> dict[str, Any]:
        """Submit a task once, however often the connection breaks: a repeated request has the same Idempotency-Key."""
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self._call("POST", "/tasks", json=dict(body), headers=headers, is_repeatable=True)

    def submit_each(self, bodies: list[dict[str, Any]]) -> Iterator[dict[str, Any] | ApiFailed]:
        """Submit many; yields, in order, the task or why it was refused."""
        for start in range(0, len(bodies), BATCH):
            part = bodies[start : start + BATCH]
            try:
                # Not repeated when the connection breaks: unlike a single task, a batch could be accepted twice.
                results = self._call("POST", "/tasks/batch", json={"tasks": part})["results"]
            except ApiFailed as error:
                if error.http_status not in (requests.codes.not_found, requests.codes.method_not_allowed):
                    raise
                yield from map(self._submit_or_say_why, part)  # a service from before there were batches
            else:
                for result in results:
                    refused = result.get("problem")
                    yield (
                        ApiFailed(_said(refused, result["status"]), exit_status=REFUSED) if refused else result["task"]
                    )

    def _submit_or_say_why(self, body: Mapping[str, Any]) -> dict[str, Any] | ApiFailed:
        try:
            return self.submit(body, key=None)
        except ApiFailed as error:
            if error.exit_status != REFUSED:
                raise
            return error

    def read(self, task_id: UUID, *, wait: float = 0.0) -> dict[str, Any]:
        """A task; with `wait`, as soon as it has finished, or after so many seconds."""
        return self._call("GET", f"/tasks/{task_id}", params={"wait": wait} if wait else None, is_repeatable=True)

    def below(self, task_id: UUID, what: str) -> list[dict[str, Any]]:
        """The events, attempts or logs of a task, oldest first."""
        return list(self._pages(f"/tasks/{task_id}/{what}", {}))

    def find(self, filters: Mapping[str, Any], *, most: int) -> list[dict[str, Any]]:
        """Tasks, newest first, `most` at most."""
        found: list[dict[str, Any]] = []
        for task in self._pages("/tasks", {**filters, "limit": min(most, PAGE)}):
            found.append(task)
            if len(found) == most:
                break
        return found

    def act(self, task_id: UUID, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Cancel or retry a task."""
        return self._call("POST", f"/tasks/{task_id}/{what}", json=dict(body or {}) or None)

    def _pages(self, path: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self._call("GET", path, params={**parameters, "cursor": cursor}, is_repeatable=True)
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def _call(self, method: str, path: str, *, is_repeatable: bool = False, **options: Any) -> dict[str, Any]:
        url = f"{self._target.url}/api/v1{path}"
        tries = TRIES if is_repeatable else 1
        while True:
            tries -= 1
            try:
                answer = self._http.request(method, url, timeout=ANSWER_SECONDS, allow_redirects=False, **options)
            except requests.RequestException as error:
                if not tries:
                    advice = "is the service running there? Set TASKLEDGER_URL or --url"
                    raise ApiFailed(
                        f"{self._target.url} does not answer ({type(error).__name__}): {advice}",
                        exit_status=UNREACHABLE,
                    ) from error
            else:
                busy = answer.status_code in (requests.codes.too_many_requests, requests.codes.service_unavailable)
                if not (busy and tries):
                    return _content(answer)
            time.sleep(PAUSE_SECONDS)


def _content(answer: requests.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ApiFailed(
            f"{answer.url} answered {answer.status_code} with something that is not Taskledger's",
            exit_status=UNREACHABLE,
        )
    if answer.ok:
        return content
    raise ApiFailed(_said(content, answer.status_code), exit_status=REFUSED, http_status=answer.status_code)


def _said(problem: Mapping[str, Any], status: int) -> str:
    """The problem's own words, and what to do where it is about the key."""
    said = str(problem.get("detail") or problem.get("title") or f"answered with {status}")
    if status == requests.codes.unauthorized:
        said += " Set TASKLEDGER_API_KEY or --api-key."
    return said
