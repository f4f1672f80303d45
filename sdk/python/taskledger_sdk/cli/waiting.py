"""Waiting for tasks and runs, with a line on stderr that tells how far they are."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.failures import NOT_COMPLETED, TIMED_OUT
from taskledger_sdk.cli.session import Session
from taskledger_sdk.cli.task_table import COLUMNS, NO_TASKS
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.transport import ANSWER_SECONDS

TASK_FINISHED = frozenset(("COMPLETED", "FAILED", "CANCELLED"))
RUN_UNFINISHED = frozenset(("RUNNING", "PAUSED", "COMPENSATING"))
WATCHED_SECONDS, LONG_POLL_SECONDS = 2.0, 30.0
"""How long a request waits: short where a person watches progress."""
SHORTEST_PAUSE = 0.5
"""Between two requests: the service answers at once where too many wait already."""


def finish(session: Session, ids: Sequence[str], timeout: float | None, *, as_lines: bool = False) -> None:
    """Wait for tasks, show what became of them, and exit with a status that tells.

    With --json: the task as the API shows it; of several, or with `as_lines`, one a line as soon as it has finished.
    """
    give_up = moment_after(timeout)
    ended = []
    for number, id_ in enumerate(ids):
        task = _wait_for_task(session, id_, give_up, f"{number + 1} of {len(ids)}: " if len(ids) > 1 else "")
        ended.append(task)
        if session.out.as_json and (as_lines or len(ids) > 1):
            session.out.line(task)
        elif session.out.as_json:
            session.out.document(task)
    if not session.out.as_json:
        _show(session, ended)
    exit_by([task["status"] for task in ended], TASK_FINISHED.__contains__)


def finish_run(session: Session, run_id: str, timeout: float | None, show: Callable[[dict[str, Any]], None]) -> None:
    """Wait for a run, show it, and exit with a status that tells."""
    give_up = moment_after(timeout)
    pause = SHORTEST_PAUSE
    while True:
        run = session.api.get(path_of("runs", run_id))
        progress = run["progress"]
        tell(f"{run['status']} {progress['done']} of {progress['total']} steps")
        if run["status"] not in RUN_UNFINISHED or is_over(give_up):
            break
        time.sleep(pause if give_up is None else max(0.0, min(pause, give_up - time.monotonic())))
        pause = min(2.0, pause * 1.2)
    tell("")
    show(run)
    exit_by([run["status"]], lambda status: status not in RUN_UNFINISHED)


def _wait_for_task(session: Session, id_: str, give_up: float | None, place: str) -> dict[str, Any]:
    path = path_of("tasks", id_)
    task = session.api.get(path)
    longest = WATCHED_SECONDS if sys.stderr.isatty() else LONG_POLL_SECONDS
    while task["status"] not in TASK_FINISHED and not is_over(give_up):
        progress = task.get("progress") or {}
        fraction = f"{progress['fraction']:.0%} " if isinstance(progress.get("fraction"), int | float) else ""
        tell(f"{place}{task['status']} {fraction}{progress.get('message') or ''}")
        left = longest if give_up is None else min(longest, give_up - time.monotonic())
        asked = time.monotonic()
        task = session.api.get(path, {"wait": max(0.1, left)}, seconds=ANSWER_SECONDS + left)
        if task["status"] not in TASK_FINISHED and time.monotonic() - asked < SHORTEST_PAUSE < left:
            time.sleep(SHORTEST_PAUSE)
    tell("")
    return task


def _show(session: Session, ended: list[dict[str, Any]]) -> None:
    if len(ended) == 1 and ended[0]["status"] == "COMPLETED":
        session.out.text(text.plain(ended[0]["result"]))
    else:
        session.out.table(COLUMNS, ended, empty=NO_TASKS)


def exit_by(statuses: Sequence[str], has_finished: Callable[[str], bool]) -> None:
    """End with a status that tells, unless all are COMPLETED."""
    if not all(map(has_finished, statuses)):
        click.echo("Not everything has finished in time.", err=True)
        raise SystemExit(TIMED_OUT)
    if any(status != "COMPLETED" for status in statuses):
        raise SystemExit(NOT_COMPLETED)


def moment_after(timeout: float | None) -> float | None:
    """When to give up, by the monotonic clock; None: never."""
    return None if timeout is None else time.monotonic() + timeout


def is_over(give_up: float | None) -> bool:
    """Whether it is time to give up."""
    return give_up is not None and time.monotonic() >= give_up


def tell(said: str) -> None:
    """Replace the line on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text.cut(text.printable(said, one_line=True), 78)}", nl=False, err=True)
