"""Canvases: a chain, group or chord is one run with a definition of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskledger_sdk.celery import ids
from taskledger_sdk.celery.definitions import Definition
from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.internals import SUBMITTED_AS_ONE, Chain, Chord, Group, TaskClass, signature
from taskledger_sdk.celery.ledger import Ledger, ledger_of
from taskledger_sdk.celery.sending import Sender
from taskledger_sdk.celery.trails import trailed

Apply = Callable[..., Any]
OWN_TIMES = ("countdown", "eta", "expires")
_TO_PARENT = "add_to_parent"


def patch() -> None:
    """Let canvases of adopted applications become runs; those of others are sent as before."""
    for kind in SUBMITTED_AS_ONE:
        if not hasattr(kind.apply_async, "taskledger_original"):
            kind.apply_async = _hook(kind.apply_async)
    if not hasattr(TaskClass.add_to_chord, "taskledger_original"):
        TaskClass.add_to_chord = _refusal(TaskClass.add_to_chord)


def _hook(original: Apply) -> Apply:
    def apply_async(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        ledger = ledger_of(_app_of(self))
        if ledger is None or not ledger.is_on:
            return original(self, args, kwargs, **options)
        return send(ledger, self, args, kwargs, options)

    apply_async.taskledger_original = original  # type: ignore[attr-defined]
    apply_async.__doc__ = original.__doc__
    return apply_async


def _refusal(original: Apply) -> Apply:
    def add_to_chord(self: Any, sig: Any, lazy: bool = False) -> Any:
        ledger = ledger_of(self.app)
        if ledger is None or not ledger.is_on:
            return original(self, sig, lazy)
        raise NotAdopted(
            f"{self.name}: add_to_chord() is not possible in the ledger, where a run has its steps from the start: "
            "make the task a member of the chord's header, or start another chord in the body."
        )

    add_to_chord.taskledger_original = original  # type: ignore[attr-defined]
    return add_to_chord


def _app_of(canvas: Any) -> Any:
    app = canvas.app
    return getattr(app, "_get_current_object", lambda: app)()


def send(ledger: Ledger, canvas: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
    """Submit a canvas; what Celery returns for it, with the same results inside."""
    if options.get("replaced_task_nesting") or canvas.options.get("replaced_task_nesting"):
        raise NotAdopted("self.replace() is not possible in the ledger: return from the task, and call the other one.")
    sender: Sender = ledger.sender
    said = {name: value for name, value in options.items() if value is not None}
    for name in ("link", "link_error"):
        if isinstance(canvas, Group) and said.get(name):  # as in Celery
            raise TypeError(f"Cannot add {name} to a group: make it the header of a chord, or add it to its tasks")
    canvas = _called_with(canvas, args, kwargs, said)
    if isinstance(canvas, Group) and _is_flat(canvas, ids.MAX_STEPS):
        return trailed(ledger.app.current_worker_task, _send_apart(sender, canvas), said)
    definition = Definition(sender.reader, ids.new_run_id(), ledger.app)
    result = definition.add(canvas)
    if definition.steps:
        sender.start_run(definition, _name(canvas))
    return trailed(ledger.app.current_worker_task, result, said)


def _called_with(canvas: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """A copy with the arguments and options of the call."""
    made = canvas.clone()
    if isinstance(made, Chord) and kwargs:
        kwargs = dict(kwargs)
        body = kwargs.pop("body", None)
        if body is not None:
            made.body = signature(body, made._app, copy=True)
    made.options = {**made.options, **{name: value for name, value in options.items() if name != _TO_PARENT}}
    if args or kwargs:
        _give(made, tuple(args or ()), dict(kwargs or {}))
    return made


def _give(canvas: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Partial arguments go to the first task of a chain, and to all of a group or a header."""
    if canvas.immutable:
        return
    if isinstance(canvas, Chain):
        canvas.tasks = [signature(each, canvas._app, copy=True) for each in canvas.tasks]
        if canvas.tasks:
            _give(canvas.tasks[0], args, kwargs)
    elif isinstance(canvas, (Group, Chord)):
        members = canvas.tasks.tasks if isinstance(canvas.tasks, Group) else canvas.tasks
        canvas.tasks = [signature(each, canvas._app, copy=True) for each in members]
        for each in canvas.tasks:
            _give(each, args, kwargs)
    else:
        canvas.args = args + tuple(canvas.args)
        canvas.kwargs = {**kwargs, **canvas.kwargs}


def _is_flat(canvas: Any, most: int) -> bool:
    """Whether its members need no run, and do not fit into one: they are too many, or have a start of their own."""
    members = [signature(each, canvas._app) for each in canvas.tasks]
    if any(isinstance(each, SUBMITTED_AS_ONE) or each.options.get("link") for each in members):
        return False
    said = (canvas.options, *(each.options for each in members))
    return len(members) > most or any(each.get(name) for each in said for name in OWN_TIMES)


def _send_apart(sender: Sender, canvas: Any) -> Any:
    app = sender.ledger.app
    group_id = str(canvas.options.get("task_id") or ids.new_run_id())
    shared = {name: value for name, value in canvas.options.items() if name not in ("task_id", "link", "link_error")}
    parent = app.current_worker_task
    calls, results = [], []
    for index, member in enumerate(canvas.tasks):
        each = signature(member, app)
        said = {**shared, **each.options, "group_id": group_id, "group_index": index}
        call = sender.reader.read(each.task, each.args, each.kwargs, said, parent)
        calls.append(call)
        results.append(each.AsyncResult(call.celery_id))
    sender.submit_many(calls)
    return app.GroupResult(group_id, results)


def _name(canvas: Any) -> str:
    """What people see as the workflow of the run."""
    kind = "group" if isinstance(canvas, Group) else "chain" if isinstance(canvas, Chain) else "chord"
    return f"celery {kind}"
