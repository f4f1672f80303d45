"""The tasks of a Celery application as remote types: what is declared of each."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery.app.base import Celery
from celery.utils.time import rate as per_second_of

from taskledger_sdk.celery import routing
from taskledger_sdk.celery.payloads import payload_schema, type_name
from taskledger_sdk.celery.worker import signatures
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS

LOST_RETRIES = 3
"""So often a task whose worker was lost runs again; Celery's own default is never, see `lost="fail"`."""
GRACE_SECONDS = 30
"""The pool ends an attempt at its hard limit; its lease holds a little longer, for the word to come through."""
SHORTEST_RATE = 1.0
OWNER = "Adopted from the Celery application "


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptedType:
    """One task, as it is declared."""

    task: str
    """As Celery has it."""
    name: str
    """As the ledger has it."""
    queue: str
    lost_fails: bool
    """Whether a task whose worker was lost ends as FAILED: at most once, as Celery by default."""
    declaration: dict[str, Any]
    """The body of `PUT /task-types/{name}`."""


def adopted_types(
    app: Celery, *, time_limit: float | None = None, queues: Iterable[str] = ()
) -> dict[str, AdoptedType]:
    """The tasks of an application, by the names of their types; Celery's own are left out where nothing needs them.

    `queues`: of calls that name one of these and not the task's own, too. Raises ValueError.
    """
    found = []
    for name, task in sorted(app.tasks.items()):
        if _is_wanted(name):
            home = routing.home_of(app, name)
            found.append(_adopted(app, task, time_limit, queue=home, type_name=type_name(name, app=app.main)))
            others = sorted(set(queues) - {home})
            found += [
                _adopted(app, task, time_limit, queue=q, type_name=type_name(name, q, app=app.main)) for q in others
            ]
    return {each.name: each for each in found}


def _is_wanted(name: str) -> bool:
    """Canvas tasks of Celery's own are steps of runs in the ledger; `celery.map` and its like are called as tasks."""
    return not name.startswith("celery.") or name in ("celery.map", "celery.starmap")


def _adopted(app: Celery, task: Any, time_limit: float | None, *, queue: str, type_name: str) -> AdoptedType:
    lost_fails = lost_word(app, task) == "fail"
    return AdoptedType(
        task=task.name,
        name=type_name,
        queue=queue,
        lost_fails=lost_fails,
        declaration={
            "schema": schema_of(task),
            "summary": _summary(task),
            "description": f"{OWNER}{app.main or 'without a name'}: {task.name}",
            "timeout": _timeout(task, time_limit),
            "grace_seconds": GRACE_SECONDS,
            "retry": {"max_retries": 0 if lost_fails else LOST_RETRIES, "base_seconds": 1.0},
            "rate": rate_of(task.rate_limit),
        },
    )


def schema_of(task: Any) -> dict[str, Any]:
    """The schema of a task's payload."""
    parameters = signatures.parameters_of(task)
    if parameters is None:
        return payload_schema()
    said = signatures.schema_of(parameters)
    rules = {"allOf": said["allOf"]} if "allOf" in said else {}
    return {**payload_schema(said["properties"]), **rules}


def lost_word(app: Celery, task: Any) -> str:
    """What becomes of a task whose worker was lost: `again` or `fail`. Raises ValueError for another word."""
    word = getattr(task, "taskledger_lost", None) or app.conf.get("taskledger_lost") or "again"
    if word not in ("again", "fail"):
        raise ValueError(f"taskledger_lost={word!r} of {task.name}: give 'again' or 'fail'")
    return str(word)


def rate_of(said: Any) -> str | None:
    """Celery's rate limit as the ledger writes it: `10/m` is `10/min`."""
    if said in (None, 0, "0", ""):
        return None
    per_second = per_second_of(said)
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h"), (86400, "day")):
        count = per_second * seconds
        if count >= SHORTEST_RATE and math.isclose(count, round(count), rel_tol=1e-6):
            return f"{round(count)}/{unit}"
    return f"1/{max(1, round(1 / per_second))}s"


def _timeout(task: Any, time_limit: float | None) -> int:
    hard = task.time_limit or time_limit
    return MAX_TIMEOUT_SECONDS if not hard else min(MAX_TIMEOUT_SECONDS, max(1, math.ceil(hard)))


def _summary(task: Any) -> str:
    """The first line of the docstring of its function."""
    text = (inspect.getdoc(task.run) or "").strip() or f"The Celery task {task.name}"
    return text.partition("\n")[0][:200]
