"""`make demo`: one task of each type, submitted to a running service, with a progress bar and a table of results.

Everything it reaches is on this machine: the service, the demo orders service and the mail catcher.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.commands.statuses import COLOURS, FINISHED
from app.embedded import credentials, demo_orders
from app.embedded.errors import CannotStart
from app.embedded.settings import EmbeddedSettings, load, readable

PATIENCE_SECONDS = 120.0  # for all of them together
LOOK_SECONDS = 2
UNDOES = "compensation"
UNDONE = "generate_pdf"
WIDEST_RESULT = 200


class Demo:
    """The tasks of one demonstration."""

    def __init__(self, settings: EmbeddedSettings, api_key: str = "") -> None:
        self._api = f"{settings.api_url}/api/v1"
        self._orders_port = settings.demo_orders_port
        self._http = requests.Session()
        self._http.trust_env = False
        if api_key:
            self._http.headers["Authorization"] = f"Bearer {api_key}"
        self._labels = {"demo": uuid4().hex[:8]}

    def run(self, console: Console) -> list[dict[str, Any]]:
        """Submit, wait with a progress bar, and return the tasks as they ended."""
        tasks = {name: self.submit(name, payload) for name, payload in self.payloads()}
        give_up = time.monotonic() + PATIENCE_SECONDS
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("Running", total=len(tasks) + (UNDOES in self.types))
            for name, task in tasks.items():
                tasks[name] = self.finished(task, give_up=give_up)
                progress.advance(bar)
            if UNDOES in self.types and UNDONE in tasks:
                payload = {"task_id": tasks[UNDONE]["id"], "reason": "the demonstration"}
                give_up = time.monotonic() + PATIENCE_SECONDS
                tasks[UNDOES] = self.finished(self.submit(UNDOES, payload), give_up=give_up)
                progress.advance(bar)
        return list(tasks.values())

    @property
    def types(self) -> Mapping[str, Any]:
        """The payload schema of each type."""
        if not hasattr(self, "_types"):
            answer = self._asked("GET", "/task-types")
            self._types = {each["name"]: each for each in answer["items"]}
        return self._types

    def payloads(self) -> Iterator[tuple[str, Any]]:
        """Each type with its own first example; undoing comes last, when there is something to undo."""
        here = f"127.0.0.1:{self._orders_port}"
        for name, kind in self.types.items():
            examples = kind.get("examples") or kind["payload"].get("examples") or []
            if name != UNDOES and examples:
                text = json.dumps(examples[0]).replace(f"127.0.0.1:{demo_orders.DEFAULT_PORT}", here)
                yield name, json.loads(text)

    def submit(self, name: str, payload: Any) -> dict[str, Any]:
        """The new task."""
        body = {"type": name, "payload": payload, "name": f"demo {name}", "labels": self._labels}
        return self._asked("POST", "/tasks", json=body)

    def finished(self, task: dict[str, Any], *, give_up: float) -> dict[str, Any]:
        """The task when it has ended or waits for somebody's answer, or as it is when patience has ended."""
        while not (task["status"] in FINISHED or asks_somebody(task)) and time.monotonic() < give_up:
            task = self._asked("GET", f"/tasks/{task['id']}?wait={LOOK_SECONDS}")
        return task

    def _asked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, self._api + path, timeout=70, **options)
        except requests.ConnectionError:
            raise CannotStart(f"Nothing answers at {self._api}: start `make run` first, in another terminal.") from None
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise CannotStart("The service wants an API key: API_KEY=tl_… make demo")
        if not answer.ok:
            raise CannotStart(f"{method} {path} was answered with {answer.status_code}: {answer.text[:500]}")
        return dict(answer.json())


def asks_somebody(task: Mapping[str, Any]) -> bool:
    """Whether it waits for a signal: a type that does has done all that it can by itself."""
    return "signal" in (task["waits_for"] or {})


def table_of(tasks: list[dict[str, Any]]) -> Table:
    """What became of the tasks."""
    table = Table(title="What became of them", show_lines=True)
    table.add_column("Type", style="bold", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Seconds", justify="right")
    table.add_column("Result", overflow="fold")
    for task in sorted(tasks, key=lambda task: str(task["type"])):
        text = _outcome(task)
        colour = COLOURS.get(task["status"], "yellow")
        cut = text if len(text) <= WIDEST_RESULT else text[: WIDEST_RESULT - 1] + "…"
        table.add_row(task["type"], f"[{colour}]{task['status']}[/]", _seconds(task), cut.replace("[", "\\["))
    return table


def _outcome(task: Mapping[str, Any]) -> str:
    """Its result, or what it failed with, or why it has not ended."""
    if task["status"] != "COMPLETED":
        return str((task["error"] or {}).get("message") or task["reason"] or "")
    result = task["result"]
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _seconds(task: Mapping[str, Any]) -> str:
    """From submission to the end."""
    if not task.get("finished_at"):
        return ""
    ended, began = (datetime.fromisoformat(task[name]) for name in ("finished_at", "created_at"))
    return f"{(ended - began).total_seconds():.2f}"


def _api_key(settings: EmbeddedSettings) -> str:
    """The caller's key, or that of the local admin of a running `make run`."""
    try:
        return os.environ.get("API_KEY") or credentials.read(settings.var_dir / credentials.FILE_NAME)["ADMIN_API_KEY"]
    except (OSError, KeyError):
        return ""


def main() -> int:
    """Run the demonstration; 0 when every task is COMPLETED, or waits for somebody's answer."""
    console = Console()
    try:
        settings = load(os.environ)
        tasks = Demo(settings, _api_key(settings)).run(console)
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    console.print(table_of(tasks))
    label = f"demo:{tasks[0]['labels']['demo']}" if tasks else ""
    console.print(
        f"Tasks: {settings.api_url}/api/v1/tasks?label={label}\nMails: {readable(settings.var_dir / 'mail')}/*.eml"
    )
    return 0 if all(task["status"] == "COMPLETED" or asks_somebody(task) for task in tasks) else 2


if __name__ == "__main__":
    sys.exit(main())
