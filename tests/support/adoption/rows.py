"""Runs every row by the application, as its producer does, and prints what came of each: python -m … OUTPUT [ROW …].

The same program runs with Celery's own worker behind it and with ours; a test compares the two outputs.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import chain, chord, group
from celery.result import AsyncResult

from tests.support.adoption import tasks
from tests.support.adoption.application import app

SECONDS = 45.0
ROWS: dict[str, Callable[[], Any]] = {}
IDS: dict[str, list[str]] = {}


def row(function: Callable[[], Any]) -> Callable[[], Any]:
    """A row of the table, by the name of the function."""
    ROWS[function.__name__] = function
    return function


def ended(result: AsyncResult, seconds: float = SECONDS) -> dict[str, Any]:
    """How a task ended, as its caller sees it."""
    value: Any = None
    try:
        value = result.get(timeout=seconds, propagate=False, interval=0.05)
    except Exception as error:
        value = error
    if isinstance(value, BaseException):
        value = [type(value).__name__, *(str(each)[:80] for each in value.args[:1])]
    return {"state": result.state, "value": value}


def called(task: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Call by delay(), and wait."""
    return ended(task.delay(*args, **kwargs))


@row
def plain_call() -> Any:
    return called(tasks.add, 2, 3)


@row
def by_name() -> Any:
    return ended(app.send_task("adoption.add", (2,), {"y": 3}))


@row
def by_signature() -> Any:
    return ended(app.signature("adoption.add", args=(1,)).apply_async((2,)))


@row
def immutable_signature() -> Any:
    return ended(chain(tasks.add.s(1, 1), tasks.add.si(5, 5)).apply_async())


@row
def request() -> Any:
    return called(tasks.request, 1, "two", three=3)


@row
def request_of_call() -> Any:
    return ended(tasks.request.apply_async((1,), headers={"tenant": "acme"}, time_limit=20, soft_time_limit=10))


@row
def chosen_id() -> Any:
    result = tasks.add.apply_async((1, 2), task_id="6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
    return [result.id, ended(result)]


@row
def autoretry() -> Any:
    return called(tasks.auto, 2)


@row
def autoretry_gives_up() -> Any:
    return called(tasks.auto, 9)


@row
def retry() -> Any:
    return called(tasks.retrying, 2)


@row
def retry_gives_up_with_the_error() -> Any:
    return called(tasks.retrying, 9)


@row
def retry_gives_up() -> Any:
    found = called(tasks.gives_up)
    found["value"] = found["value"][0]
    return found


@row
def retry_without_end() -> Any:
    return called(tasks.endless)


@row
def retry_with_another_limit() -> Any:
    return called(tasks.by_override)


@row
def retry_by_eta() -> Any:
    began = time.monotonic()
    found = called(tasks.by_eta)
    return [found, time.monotonic() - began > 0.9]


@row
def retry_with_other_arguments() -> Any:
    return called(tasks.changes_arguments, 1)


@row
def declared_errors() -> Any:
    return called(tasks.throws)


@row
def failure() -> Any:
    return called(tasks.fails, "broken")


@row
def hooks_of_success() -> Any:
    return called(tasks.watched, "fine")


@row
def hooks_of_failure() -> Any:
    return called(tasks.watched, "fail")


@row
def hooks_of_retry() -> Any:
    return called(tasks.watched, "retry")


@row
def class_based() -> Any:
    return called(tasks.by_class, 21)


@row
def shared() -> Any:
    return called(tasks.shared, "text")


@row
def custom_states() -> Any:
    result = tasks.states.delay(2.5)
    until = time.monotonic() + 20
    while result.state != "PROGRESS" and time.monotonic() < until:
        time.sleep(0.05)
    return [result.state, result.info, ended(result)]


@row
def ignore_result() -> Any:
    result = tasks.ignores_result.delay()
    return [seen_of(result, "run"), result.get(timeout=1) if os.environ.get("ADOPTED") else None]


def seen_of(result: AsyncResult, what: str) -> bool:
    """Whether something was seen of a task within a while."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if any(each["id"] == result.id and each["what"] == what for each in records()):
            return True
        time.sleep(0.05)
    return False


def records() -> list[dict[str, Any]]:
    path = Path(os.environ["ADOPTION_RECORD"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@row
def soft_limit() -> Any:
    return called(tasks.soft_limit)


@row
def hard_limit() -> Any:
    return called(tasks.hard_limit)


@row
def values() -> Any:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = called(tasks.values, moment, Decimal("1.50"), UUID(int=7), b"bytes")
    found["value"] = {name: repr(value) for name, value in sorted(found["value"].items())}
    return found


@row
def no_json_result() -> Any:
    return called(tasks.no_json)["state"]


@row
def wrong_arguments() -> Any:
    try:
        return [type(tasks.add.delay(1, 2, 3)).__name__]
    except TypeError as error:
        return ["TypeError", str(error)]


@row
def countdown() -> Any:
    began = time.monotonic()
    found = ended(tasks.add.apply_async((1, 1), countdown=1))
    return [found, time.monotonic() - began > 0.9]


@row
def eta_without_a_zone() -> Any:
    began = time.monotonic()
    moment = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=1)  # as Celery 5.7 takes it
    found = ended(tasks.add.apply_async((1, 1), eta=moment))
    return [found, time.monotonic() - began > 0.9]


@row
def expired() -> Any:
    found = ended(tasks.add.apply_async((1, 1), countdown=2, expires=1), 20)
    return found["state"]


@row
def expired_with_a_link() -> Any:
    return ended(tasks.add.apply_async((1, 1), countdown=2, expires=1, link=tasks.shared.s()), 20)


@row
def revoke_while_it_waits() -> Any:
    result = tasks.add.apply_async((1, 1), countdown=3)
    time.sleep(0.5)
    app.control.revoke(result.id)
    return ended(result)["state"]


@row
def revoke_while_it_runs() -> Any:
    result = tasks.sleeps.delay(30)
    assert seen_of(result, "run")
    app.control.revoke(result.id, terminate=True)
    return ended(result)["state"]


@row
def exits() -> Any:
    return called(tasks.exits)["value"][0]


@row
def get_inside_a_task() -> Any:
    return called(tasks.joins)["value"][0]


@row
def get_inside_a_task_that_may() -> Any:
    return called(tasks.joins_anyway)


@row
def children() -> Any:
    result = tasks.parent.delay()
    ids = result.get(timeout=SECONDS)
    return [child.id for child in result.children or ()] == ids


@row
def chained() -> Any:
    return ended(chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.shared.si("end")).apply_async())


@row
def chained_after_an_ignored_result() -> Any:
    return ended(chain(tasks.ignores_result.si(), tasks.shared.s()).apply_async())


@row
def grouped() -> Any:
    return group(tasks.add.s(number, 1) for number in range(4)).apply_async().get(timeout=SECONDS)


@row
def chorded() -> Any:
    return ended(chord([tasks.add.s(1, 1), tasks.add.s(2, 2)])(tasks.writes_down.s()))["state"]


@row
def chain_that_fails() -> Any:
    return ended(chain(tasks.fails.s("first"), tasks.add.si(1, 1)).apply_async(), 5)["state"]


@row
def link() -> Any:
    found = ended(tasks.add.apply_async((2, 2), link=tasks.writes_down.s()))
    until = time.monotonic() + 20
    while (
        not any(each["what"] == "written" and each["args"] == ["4"] for each in records()) and time.monotonic() < until
    ):
        time.sleep(0.05)
    return [found, [each["args"] for each in records() if each["what"] == "written" and each["args"] == ["4"]]]


@row
def link_error() -> Any:
    result = tasks.fails.apply_async(("linked",), link_error=tasks.writes_down.si("errback"))
    found = ended(result)
    until = time.monotonic() + 20
    while not any(each["what"] == "written" and each["args"] == ["errback"] for each in records()):
        if time.monotonic() > until:
            return "the errback was not called"
        time.sleep(0.05)
    return found


@row
def mapped() -> Any:
    return ended(tasks.shared.map(["a", "b"]).apply_async())


@row
def chunked() -> Any:
    return tasks.add.chunks(zip(range(4), range(4), strict=True), 2).group().apply_async().get(timeout=SECONDS)


@row
def keyword_only() -> Any:
    return called(tasks.keyword_only, 1, second=2)


@row
def retry_said_by_a_base_class() -> Any:
    return called(tasks.mail, "ann", subject="hi")


@row
def retry_of_a_late_task() -> Any:
    return called(tasks.late)


@row
def ids_in_a_chain() -> Any:
    result = chain(tasks.ids.s(1), tasks.collect_ids.s(2)).apply_async()
    (root, no_parent, one), (same_root, parent, two), own = result.get(timeout=SECONDS)
    return [no_parent, one, two, root == same_root, parent == result.parent.id, own == result.id]


@row
def errback_with_the_error() -> Any:
    result = tasks.fails.apply_async(("errback",), link_error=tasks.errback.s())
    found = ended(result)
    seen_of(result, "errback")
    return [found, next(each["error"] for each in records() if each["what"] == "errback")]


@row
def error_that_cannot_be_pickled() -> Any:
    return called(tasks.raises_odd)["state"]


@row
def pydantic_models() -> Any:
    if not hasattr(tasks, "with_model"):  # where pydantic is not installed
        return None
    return called(tasks.with_model, {"number": 1, "to": "ann"})


@row
def unicode() -> Any:
    return called(tasks.unicode)


@row
def unknown_id() -> Any:
    return app.AsyncResult("00000000-0000-4000-8000-000000000000").state


@row
def other_queue() -> Any:
    return called(tasks.elsewhere)


@row
def eager() -> Any:
    return tasks.add.apply((1, 2)).get() + tasks.add(3, 4)


@row
def ignored() -> Any:
    result = tasks.ignored.delay()
    return [seen_of(result, "run"), ended(result, 2)["state"]]


@row
def rejected() -> Any:
    result = tasks.rejected.delay(False)
    return [seen_of(result, "run"), ended(result, 5)["state"]]


@row
def requeued() -> Any:
    return called(tasks.rejected, True)["state"]


@row
def abortable() -> Any:
    result = tasks.abortable.delay()
    assert seen_of(result, "run")
    result.abort()
    return ended(result, 20)["value"]


def main(output: str, names: list[str]) -> None:
    """Run the rows; each line of the output is one."""
    with open(output, "w", encoding="utf-8") as file:
        for name in names or ROWS:
            try:
                found = ROWS[name]()
            except Exception as error:
                found = {"raised": f"{type(error).__name__}: {error}"}
            print(json.dumps({"row": name, "found": found}, default=repr), file=file, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
