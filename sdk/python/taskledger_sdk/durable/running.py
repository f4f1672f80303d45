"""One run of a durable handler from its top: each thing it asks for is answered from memory, done, or waited for."""

from __future__ import annotations

import inspect
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from uuid import UUID

from taskledger_sdk.durable import asking
from taskledger_sdk.durable.values import Child, ChildOutcome, Remembered, Store, Undo, Wait
from taskledger_sdk.errors import (
    ChildFailed,
    NotDeterministic,
    PermanentError,
    StartOver,
    Suspended,
    TaskError,
    WaitTimedOut,
)

MAX_FORGOTTEN = 20
RAISE: Any = object()
"""In place of a default: raise WaitTimedOut."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A step that the handler has asked for, and what is remembered of it."""

    name: str
    seq: int
    known: Remembered | None
    undo: Undo | None = None


class DurableRun:
    """What the handler has asked for so far, over the steps that are kept of its task."""

    def __init__(self, store: Store, task_id: UUID) -> None:
        self._store = store
        self._task_id = task_id
        self._lock = threading.Lock()  # a handler may ask from threads of its own
        self._counts: Counter[str] = Counter()
        self._asked: set[str] = set()
        self._seq = 0
        self._new, self._bytes = 0, 0
        self._steps: dict[str, Remembered] | None = None
        self.ending: Suspended | StartOver | None = None
        """What the handler was left with: it must not go on after that."""

    def begin_once(self, name: str, undo: Any) -> Asked:
        """Ask for a step that a function does; one that may have to be undone is remembered before."""
        wanted = asking.checked_undo(undo, f"task.once({name!r})")
        asked = self._ask(name, "once")
        if wanted is not None and asked.known is None:
            self._store.begin(asked.name, asked.seq, wanted)
        return asked

    def finish_once(self, asked: Asked, result: Any) -> Any:
        """Remember what the function returned; returns it as the next run will read it."""
        if inspect.iscoroutine(result):
            result.close()
            raise PermanentError(
                f"task.once({asked.name!r}) was given a coroutine function: make the handler async def, and await it"
            )
        returned = asking.as_json(result, f"task.once({asked.name!r}) returned")
        value = self._store.finish(asked.name, asked.seq, returned)
        self._keep(value)
        return value

    def once(self, name: str, function: Callable[..., Any], *args: Any, undo: Any = None, **kwargs: Any) -> Any:
        """Run a function once in the life of the task."""
        asked = self.begin_once(name, undo)
        if asked.known is not None and asked.known.is_done:
            return asked.known.result
        return self.finish_once(asked, function(*args, **kwargs))

    def sleep(self, duration: Any, name: str) -> None:
        """Wait for a moment."""
        until = asking.checked_until(duration, f"task.sleep({name!r})")
        asked = self._ask(name, "sleep")
        if asked.known is not None and asked.known.has_ended:
            return
        moment = self._store.sleep(asked.name, asked.seq, until)
        if moment is not None:
            self._suspend(Wait(step=asked.name, until=moment))

    def wait_for(self, name: str, timeout: Any, default: Any, schema: Any = None) -> Any:
        """Wait for a signal, and take it."""
        asking.checked_signal(name)
        wanted = asking.checked_schema(schema, f"task.wait_for({name!r})")
        longest = asking.checked_timeout(timeout, f"task.wait_for({name!r})")
        asked = self._ask(name, "signal")
        if asked.known is not None and asked.known.is_done:
            return asked.known.result
        if asked.known is None or not asked.known.has_ended:
            answer = self._store.take(asked.name, asked.seq, name, longest)
            if answer.state == "taken":
                self._keep(answer.data)
                return answer.data
            if answer.state == "waiting":
                self._suspend(Wait(step=asked.name, signal=name, until=answer.until, schema=wanted))
        if default is RAISE:
            raise WaitTimedOut(name)
        return default

    def call(self, wanted: Child, name: str | None, undo: Any) -> tuple[str, UUID]:
        """Submit a child; the name of its step, and its id."""
        where = f"task.call({wanted.type!r})"
        compensation = asking.checked_undo(undo, where)
        payload = asking.as_json(wanted.payload, f"{where}: its payload is")
        digest = asking.digest_of(self._task_id, wanted.type, payload)
        asked = self._ask(wanted.type if name is None else name, "call", digest)
        if asked.known is not None and asked.known.child_id is not None:
            return asked.name, asked.known.child_id
        copied = Child(wanted.type, payload, wanted.options)
        return asked.name, self._store.call(asked.name, asked.seq, digest, copied, compensation)

    def result_of(self, step: str) -> Any:
        """What a child returned, waiting for it."""
        self._still_running()
        outcome = self._store.outcome(step)
        if outcome is None:
            self._suspend(Wait(step=step, steps=(step,), children=1))
        return _result(step, outcome)

    def results_of(self, steps: Sequence[str], *, return_exceptions: bool) -> list[Any]:
        """The same of several."""
        self._still_running()
        outcomes = {step: self._store.outcome(step) for step in steps}
        left = tuple(step for step, outcome in outcomes.items() if outcome is None)
        if left:
            self._suspend(Wait(step=left[0], steps=left, children=len(left)))
        return _results([(step, outcomes[step]) for step in steps], return_exceptions=return_exceptions)

    def gather(
        self, children: Sequence[Child], name: str, *, max_parallel: int | None, return_exceptions: bool
    ) -> list[Any]:
        """Submit many children, at most so many at once, and wait for all."""
        where = f"task.gather({name!r})"
        if max_parallel is not None and (not isinstance(max_parallel, int) or max_parallel < 1):
            raise PermanentError(f"{where}: max_parallel is a number from 1, not {max_parallel!r}")
        if len(children) > asking.MAX_ITEMS:
            raise PermanentError(f"{where}: {len(children)} children; at most {asking.MAX_ITEMS} go together")
        copied = [
            Child(each.type, asking.as_json(each.payload, f"{where}: payload {number} is"), each.options)
            for number, each in enumerate(children)
        ]
        digest = asking.group_digest(self._task_id, copied)
        asked = self._ask(name, "gather", digest, items=len(children))
        if asked.known is None and children:
            self._store.gather(asked.name, asked.seq, digest, copied, max_parallel)
        outcomes = self._store.outcomes(asked.name) if children else []
        if outcomes is None:
            self._suspend(Wait(step=asked.name, is_group=True, max_parallel=max_parallel, children=len(children)))
        pairs = [(f"{asked.name}[{number}]", outcome) for number, outcome in enumerate(outcomes)]
        return _results(pairs, return_exceptions=return_exceptions)

    def start_over(self, payload: Any) -> NoReturn:
        """Forget all steps, and begin anew with another payload."""
        self._still_running()
        self.ending = StartOver(asking.as_json(payload, "task.start_over() was given"))
        raise self.ending

    def _ask(self, name: str, kind: str, digest: str | None = None, *, items: int = 0) -> Asked:
        asking.checked_name(name)
        with self._lock:
            self._still_running()
            steps = self._remembered()
            self._counts[name] += 1
            full = name if self._counts[name] == 1 else f"{name}#{self._counts[name]}"
            self._asked.add(full)
            seq = self._seq = self._seq + 1
            self._seq += items
            known = steps.get(full)
            if known is None:
                self._new += 1
                self._check_room(len(steps) + self._new)
        if known is not None and (known.kind != kind or (digest is not None and known.digest != digest)):
            raise NotDeterministic(full, asking.said_of(known.kind, known.digest), asking.said_of(kind, digest))
        return Asked(name=full, seq=seq, known=known)

    def _remembered(self) -> dict[str, Remembered]:
        if self._steps is None:
            self._steps = dict(self._store.steps())
            self._bytes = sum(step.size for step in self._steps.values())
        return self._steps

    def _keep(self, value: Any) -> None:
        """Count what this run has added to what the task remembers."""
        with self._lock:
            self._bytes += len(json.dumps(value))

    def _check_room(self, steps: int) -> None:
        if steps > asking.MAX_STEPS or self._bytes > asking.MAX_BYTES:
            raise PermanentError(
                f"the task remembers {steps - 1} steps and {self._bytes} bytes; at most {asking.MAX_STEPS} and "
                f"{asking.MAX_BYTES} are kept: hand large results on as artifacts, many children by task.gather(), and "
                "begin anew by task.start_over(payload)"
            )

    def _still_running(self) -> None:
        if self.ending is not None:
            raise self.ending

    def _suspend(self, wait: Wait) -> NoReturn:
        forgotten = [name for name in self._remembered() if name not in self._asked]
        self.ending = Suspended(replace(wait, never_asked_for=tuple(forgotten[:MAX_FORGOTTEN])))
        raise self.ending


def _results(pairs: Sequence[tuple[str, ChildOutcome | None]], *, return_exceptions: bool) -> list[Any]:
    results: list[Any] = []
    for step, outcome in pairs:
        try:
            results.append(_result(step, outcome))
        except ChildFailed as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results


def _result(step: str, outcome: ChildOutcome | None) -> Any:
    if outcome is None:
        raise TaskError(f"the child of {step} has not ended")
    if outcome.error_type is not None:
        raise ChildFailed(step, str(outcome.task_id), outcome.type, outcome.error_type, outcome.message)
    return outcome.result
