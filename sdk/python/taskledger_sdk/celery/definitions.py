"""From a canvas to the definition of a run: each task a step, and what flows from one to the next as references."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import Celery
from celery.utils.functional import maybe_list

from taskledger_sdk.celery import ids
from taskledger_sdk.celery.calls import Reader, TaskCall
from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.internals import Chain, Chord, Chunks, Group, signature
from taskledger_sdk.celery.ledger import ID_LABEL
from taskledger_sdk.celery.payloads import ARGS, KWARGS, OPTIONS, CallOptions, encode_call, type_name
from taskledger_sdk.workflows.model import FINISH

INHERITED = ("queue", "priority", "headers", "ignore_result", "time_limit", "soft_time_limit", "root_id", "parent_id")
LINEAGE = frozenset(("root_id", "parent_id"))
URGENCY = ("low", "normal", "high")
LONGEST_KEY, LONGEST_NAME = 48, 100
SAME_START = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """What one part of a canvas hands to the next: a template of its value, and the steps to wait for."""

    value: Any
    after: Sequence[str]
    result: Any


@dataclass(kw_only=True, slots=True)
class Around:
    """What a canvas says for all tasks within it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    errbacks: Sequence[Any] = ()
    group: tuple[str, int] | None = None


class Definition:
    """The steps of one run, as they are added."""

    def __init__(self, reader: Reader, run: UUID, app: Celery) -> None:
        self.run = run
        self.steps: dict[str, dict[str, Any]] = {}
        self._reader = reader
        self._parent = app.current_worker_task
        self._app = app
        self._priorities: list[str] = []
        self._homes: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._roots: dict[str, str] = {}
        self._starts: list[datetime | None] = []
        """Of the tasks that wait for no other."""

    def body(self, name: str) -> dict[str, Any]:
        """What starts the run."""
        definition = {"steps": self.steps, "on_failure": FINISH}
        said = {"name": _run_name(name), "definition": definition, "priority": max(self._priorities, key=URGENCY.index)}
        starts_at = self._starts_at()
        return said if starts_at is None else {**said, "starts_at": starts_at}

    def _starts_at(self) -> datetime | None:
        """The start of the first tasks, which is that of the run: each was computed from a now of its own."""
        starts = [each for each in self._starts if each is not None]
        if not starts:
            return None
        latest = max(starts)
        if len(starts) < len(self._starts) or latest - min(starts) > SAME_START:
            raise NotAdopted(
                "The first tasks of this canvas start at different times, and a run has one start: give countdown or "
                "eta to the canvas, or send a group without a chord, whose tasks are sent apart."
            )
        return latest

    def add(self, canvas: Any) -> Any:
        """Add a canvas; its result, as Celery makes it."""
        flow = self._add(canvas, None, Around())
        return self._app.GroupResult(str(self.run), []) if flow is None else flow.result

    def add_call(self, call: TaskCall, *, result_cls: Any = None) -> Any:
        """Add a task with its callbacks."""
        return self._step(call, None, result_cls or self._app.AsyncResult).result

    def send_home(self) -> bool:
        """Let all steps go to the workers of their tasks' own queues; whether any was to go elsewhere."""
        away = [key for key, step in self.steps.items() if step["type"] != self._homes[key]]
        for key in away:
            self.steps[key]["type"] = self._homes[key]
        return bool(away)

    def _add(self, canvas: Any, before: Flow | None, around: Around) -> Flow | None:
        canvas = signature(canvas, self._app)
        if isinstance(canvas, Chain):
            return self._chain(canvas, before, around)
        if isinstance(canvas, Chord):
            return self._chord(canvas, before, around)
        if isinstance(canvas, Chunks):
            canvas = canvas.group()
        if isinstance(canvas, Group):
            return self._group(canvas, before, around)
        return self._task(canvas, before, around)

    def _chain(self, canvas: Any, before: Flow | None, around: Around) -> Flow | None:
        inner = _within(around, canvas)
        rest = Around(
            options={name: inner.options[name] for name in LINEAGE & inner.options.keys()}, errbacks=inner.errbacks
        )
        flow = before
        tasks = list(canvas.tasks)
        for place, each in enumerate(tasks):
            is_last = place == len(tasks) - 1
            part = signature(each, self._app, copy=True)
            if is_last:
                _pass_on(canvas, part)
            # As in Celery, a start and a queue are those of its first task, and its id is that of the last.
            part.options = {**_own_times(canvas, is_first=place == 0), **part.options}
            own = inner if place == 0 else rest
            found = self._add(part, flow, own if not is_last else _with_group(own, around.group))
            if found is not None and flow is not None and found is not flow:
                _set_parent(found.result, flow.result)
            flow = found or flow
        return flow if tasks else None

    def _group(self, canvas: Any, before: Flow | None, around: Around) -> Flow | None:
        members = _members(canvas.tasks, self._app)
        if not members:
            return None
        id_ = str(canvas.options.get("task_id") or (self.run if not self.steps else ids.new_task_id()))
        inner = _within(around, canvas)
        flows = []
        for index, each in enumerate(members):
            each.options = {**_own_times(canvas, is_first=True), **each.options}
            flow = self._add(each, before, _with_group(inner, (id_, index)))
            if flow is not None:
                flows.append(flow)
        result = self._app.GroupResult(id_, [flow.result for flow in flows])
        return Flow(
            value=[flow.value for flow in flows], after=[key for flow in flows for key in flow.after], result=result
        )

    def _chord(self, canvas: Any, before: Flow | None, around: Around) -> Flow | None:
        body = signature(canvas.body, self._app, copy=True)
        _pass_on(canvas, body)
        # A chord has failed when a task of its header has, and says so to the errbacks of its body.
        errbacks = [*(maybe_list(canvas.options.get("link_error")) or ()), *_errbacks_of(body)]
        inner = _within(around, canvas)
        inner.errbacks = [*around.errbacks, *errbacks]
        header = canvas.tasks if isinstance(canvas.tasks, Group) else Group(canvas.tasks, app=self._app)
        header.options = {**_own_times(canvas, is_first=True), **header.options}
        flow = self._group(header, before, inner)
        if flow is None:
            flow = Flow(value=[], after=() if before is None else before.after, result=self._app.GroupResult("", []))
        found = self._add(body, flow, _with_group(_within(around, canvas), around.group))
        if found is not None:
            _set_parent(found.result, flow.result)
        return found

    def _task(self, called: Any, before: Flow | None, around: Around) -> Flow:
        errbacks = [*(maybe_list(called.options.get("link_error")) or ()), *around.errbacks]
        said = {**around.options, **called.options, "link_error": _unlike(errbacks)}
        if around.group is not None:
            said["group_id"], said["group_index"] = around.group
        said.pop("chord", None)  # of a canvas that was frozen: its body is the step after this one
        if not before and "args" in said:
            said.pop("args")
        args, kwargs = called.args, dict(called.kwargs)
        if "it" in kwargs and called.task in ("celery.map", "celery.starmap"):
            kwargs["it"] = list(kwargs["it"])
            said.setdefault("route_name", getattr(kwargs["task"], "task", None) or kwargs["task"]["task"])
        call = self._reader.read(called.task, args, kwargs, said, self._parent)
        takes = before is not None and not called.immutable
        return self._step(call, before, called.AsyncResult, takes_value=takes)

    def _step(self, call: TaskCall, before: Flow | None, result_cls: Any, *, takes_value: bool = False) -> Flow:
        number = len(self.steps) + 1
        if number > ids.MAX_STEPS:
            raise NotAdopted(
                f"This canvas has more than {ids.MAX_STEPS} tasks, which is the most that a run has: give each task "
                "several items, as task.chunks() does, or start the rest from the last task."
            )
        if call.scheduled_at is not None and before is not None:
            raise NotAdopted(
                f"{call.task}: countdown and eta are for the first tasks of a canvas: let the task before it start "
                "this one with .apply_async(countdown=…)."
            )
        celery_id = call.celery_id if call.is_chosen else str(ids.step_id(self.run, number))
        key = f"{_readable(call.task)}_{number}"
        options: CallOptions = {
            **call.options,
            **_expiry(call, is_first=before is None),
            **self._ancestors(call, before),
            "id": celery_id,
        }
        payload = encode_call(call.args, call.kwargs, options)
        args = [{"$literal": each} for each in payload[ARGS]]
        if takes_value and before is not None:
            args.insert(0, before.value)
            self._keep_results_of(before)
        template = {ARGS: args, KWARGS: {"$literal": payload[KWARGS]}, OPTIONS: {"$literal": payload[OPTIONS]}}
        step: dict[str, Any] = {"type": call.type, "payload": template}
        if before is not None and before.after:
            step["after"] = list(dict.fromkeys(before.after))
        if call.timeout is not None:
            step["timeout"] = call.timeout
        if call.is_chosen:
            step["labels"] = {ID_LABEL: {"$literal": celery_id}}
        self.steps[key] = step
        self._homes[key] = type_name(call.task, app=self._app.main)
        self._ids[key], self._roots[key] = celery_id, options.get("root_id") or celery_id
        if before is None:
            self._starts.append(call.scheduled_at)
        self._priorities.append(call.priority)
        flow = Flow(value={"$from": f"steps.{key}.result", "default": None}, after=[key], result=result_cls(celery_id))
        for each in call.callbacks:
            self._add(signature(each, self._app, copy=True), flow, Around())
        return flow

    def _keep_results_of(self, before: Flow) -> None:
        """Celery hands a value on in the message of the next task; here it is read from the row of the one before."""
        for key in before.after:
            self.steps[key]["payload"][OPTIONS]["$literal"]["passes_on"] = True

    def _ancestors(self, call: TaskCall, before: Flow | None) -> CallOptions:
        """The task that a step follows on, and the first one of all; of several, the last is taken as its parent."""
        if before is None or not before.after:
            return {}
        last = before.after[-1]
        return {"root_id": call.options.get("root_id") or self._roots[last], "parent_id": self._ids[last]}


def _within(around: Around, canvas: Any) -> Around:
    options = {name: canvas.options[name] for name in INHERITED if canvas.options.get(name) is not None}
    errbacks = maybe_list(canvas.options.get("link_error")) or ()
    return Around(options={**around.options, **options}, errbacks=[*around.errbacks, *errbacks])


def _with_group(around: Around, member: tuple[str, int] | None) -> Around:
    return Around(options=around.options, errbacks=around.errbacks, group=member)


def _own_times(canvas: Any, *, is_first: bool) -> dict[str, Any]:
    names = ("countdown", "eta", "expires") if is_first else ()
    return {name: canvas.options[name] for name in names if canvas.options.get(name) is not None}


def _expiry(call: TaskCall, *, is_first: bool) -> CallOptions:
    """A step has no expiry in the ledger, so that its worker is told; seconds count from when its turn comes."""
    if call.expires_at is None:
        return {}
    if call.expires_in is not None and not is_first:
        return {"expires_in": call.expires_in}
    return {"expires": call.expires_at.isoformat()}


def _pass_on(canvas: Any, last: Any) -> None:
    """The id and the callbacks of a canvas are those of its last task."""
    if canvas.options.get("task_id") and not isinstance(last, Group):
        last.options.setdefault("task_id", canvas.options["task_id"])
    for each in maybe_list(canvas.options.get("link")) or ():
        last.link(each)


def _members(tasks: Any, app: Celery) -> list[Any]:
    """The tasks of a group; groups within a group are its own."""
    found: list[Any] = []
    for each in tasks:
        member = signature(each, app, copy=True)
        found += _members(member.tasks, app) if isinstance(member, Group) else [member]
    return found


def _errbacks_of(body: Any) -> list[Any]:
    inner = body.tasks if isinstance(body, (Group, Chain)) else ()
    own = maybe_list(body.options.get("link_error")) or ()
    return _unlike(
        [*own, *(errback for each in inner for errback in maybe_list(each["options"].get("link_error")) or ())]
    )


def _unlike(errbacks: Sequence[Any]) -> list[Any]:
    """Each once: a chain gives its errbacks to all of its tasks."""
    found: list[Any] = []
    for each in errbacks:
        if each not in found:
            found.append(each)
    return found


def _set_parent(result: Any, parent: Any) -> None:
    """The first result of a part that has none follows on what came before."""
    seen = set()
    while result is not None and result is not parent and id(result) not in seen:
        seen.add(id(result))
        if result.parent is None:
            result.parent = parent
            return
        result = result.parent


def _run_name(name: str) -> str:
    """As the ledger takes it: for people."""
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_. -]|[ ]+$", "_", name)[:LONGEST_NAME].strip(" _") or "canvas"


def _readable(task: str) -> str:
    last = re.sub(r"[^A-Za-z0-9_-]", "_", task.rpartition(".")[2])
    return (last if re.match("[A-Za-z]", last) else f"task{last}")[:LONGEST_KEY]
