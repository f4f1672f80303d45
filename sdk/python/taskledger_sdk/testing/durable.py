"""DurableAttempt: the DurableTask of a unit test, with a clock that jumps to what is waited for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from taskledger_sdk.durable.running import DurableRun
from taskledger_sdk.durable.surface import DurableMethods
from taskledger_sdk.durable.values import Child, ChildOutcome, Remembered, SignalAnswer, Undo, Until, Wait
from taskledger_sdk.testing.attempt import Attempt
from taskledger_sdk.testing.submissions import submission

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""When a test begins, unless it says another moment."""


class Sent(NamedTuple):
    """A signal that comes at a moment."""

    at: datetime
    name: str
    data: Any


@dataclass(kw_only=True)
class DurableAttempt(DurableMethods, Attempt):
    """An Attempt whose handler may wait: run_until_done() lets the clock jump to what it waits for.

    What is remembered goes from run to run, as in the ledger. Children are not run: answer() says what they return.
    """

    time: datetime = BEGINNING
    """What the clock of the test shows."""
    remembered: dict[str, Remembered] = field(default_factory=dict)
    """What is kept of the steps so far, by name."""
    undos: dict[str, Undo] = field(default_factory=dict)
    """What would be undone if the task failed now, by step, the last to begin last."""
    waits: list[Wait] = field(default_factory=list)
    """What the handler has waited for so far."""
    signals: list[Sent] = field(default_factory=list)
    """What was sent and is not taken."""
    _answers: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _children: dict[str, tuple[UUID, str, Any]] = field(default_factory=dict, init=False, repr=False)
    _groups: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _untils: dict[str, datetime] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.now = lambda: self.time
        self.begin_run()

    def begin_run(self) -> None:
        """Let the handler begin at its top."""
        self.durable = DurableRun(_MemoryStore(self), self.id)

    def forget(self) -> None:
        """Forget all steps, as task.start_over() does."""
        self.remembered, self.undos = {}, {}
        self._children.clear()
        self._groups.clear()
        self._untils.clear()

    def signal(self, name: str, data: Any = None, *, after: timedelta | float = 0) -> None:
        """Send a signal that comes so long after now (a number is seconds), by the clock of the test."""
        seconds = after if isinstance(after, timedelta) else timedelta(seconds=after)
        self.signals.append(Sent(self.time + seconds, name, json.loads(json.dumps(data))))

    def answer(self, type_name: str, result: Any) -> None:
        """Say what children of a type return: a value, a function of their payload, or an exception they fail with."""
        self._answers[type_name] = result

    def jump(self, wait: Wait) -> None:
        """Let the clock show the moment at which the wait is over. Raises AssertionError where there is none."""
        self.waits.append(wait)
        moments = [] if wait.until is None else [wait.until]
        moments += [each.at for each in self.signals if each.name == wait.signal]
        if not moments:
            raise AssertionError(f"the handler waits for {wait}, which never comes: send it with task.signal(…)")
        self.time = max(self.time, min(moments))

    def _answer(self, type_name: str, payload: Any) -> Any:
        if type_name not in self._answers:
            raise AssertionError(f"what does {type_name} return? Say so: task.answer({type_name!r}, …)")
        answer = self._answers[type_name]
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer(payload) if callable(answer) else answer))


class _MemoryStore:
    """taskledger_sdk.durable.values.Store in the memory of a test."""

    def __init__(self, task: DurableAttempt) -> None:
        self._task = task

    def steps(self) -> Mapping[str, Remembered]:
        return self._task.remembered

    def begin(self, name: str, seq: int, undo: Undo) -> None:
        self._keep(name, "once", "BEGUN")
        self._task.undos[name] = undo

    def finish(self, name: str, seq: int, result: Any) -> Any:
        self._keep(name, "once", "DONE", result=result, size=len(json.dumps(result)), has_ended=True)
        return result

    def sleep(self, name: str, seq: int, until: Until) -> datetime | None:
        moment = self._until(name, until)
        if moment is not None and moment > self._task.time:
            self._keep(name, "sleep", "BEGUN")
            return moment
        self._keep(name, "sleep", "DONE", has_ended=True)
        return None

    def take(self, name: str, seq: int, signal: str, timeout: timedelta | None) -> SignalAnswer:
        until = self._until(name, timeout)
        due = [each for each in self._task.signals if each.name == signal and each.at <= self._task.time]
        if due:
            first = min(due, key=lambda each: each.at)
            self._task.signals.remove(first)
            self._keep(name, "signal", "DONE", result=first.data, has_ended=True)
            return SignalAnswer(state="taken", data=first.data)
        if until is not None and until <= self._task.time:
            self._keep(name, "signal", "FAILED", has_ended=True)
            return SignalAnswer(state="timed_out")
        self._keep(name, "signal", "BEGUN")
        return SignalAnswer(state="waiting", until=until)

    def call(self, name: str, seq: int, digest: str, wanted: Child, undo: Undo | None) -> UUID:
        made = self._submit(name, wanted)
        self._keep(name, "call", "BEGUN", digest=digest, child_id=made)
        if undo is not None:
            self._task.undos[name] = undo
        return made

    def outcome(self, name: str) -> ChildOutcome | None:
        task_id, type_name, payload = self._task._children[name]
        try:
            return ChildOutcome(task_id=task_id, type=type_name, result=self._task._answer(type_name, payload))
        except AssertionError:
            raise  # the test has not said what it returns
        except Exception as error:  # noqa: BLE001 (a test may let a child fail with anything)
            return ChildOutcome(task_id=task_id, type=type_name, error_type=type(error).__name__, message=str(error))

    def gather(self, name: str, seq: int, digest: str, wanted: Sequence[Child], max_parallel: int | None) -> None:
        for number, each in enumerate(wanted):
            self._submit(f"{name}[{number}]", each)
        self._task._groups[name] = len(wanted)
        self._keep(name, "gather", "BEGUN", digest=digest)

    def outcomes(self, name: str) -> list[ChildOutcome] | None:
        found = [self.outcome(f"{name}[{number}]") for number in range(self._task._groups[name])]
        return [each for each in found if each is not None]

    def _submit(self, step: str, wanted: Child) -> UUID:
        made = submission(
            wanted.type, wanted.payload, key=step, now=True, attempt=self._task.attempt, options=wanted.options
        )
        self._task.submitted.append(made)
        self._task._children[step] = (made.id, made.type, made.payload)
        return made.id

    def _until(self, name: str, until: Until | None) -> datetime | None:
        if until is None:
            return None
        moment = until if isinstance(until, datetime) else self._task.time + until
        return self._task._untils.setdefault(name, moment)

    def _keep(self, name: str, kind: str, state: str, **values: Any) -> None:
        known = self._task.remembered.get(name)
        digest = values.pop("digest", None if known is None else known.digest)
        made = Remembered(name=name, kind=kind, state=state, digest=digest)
        self._task.remembered = {**self._task.remembered, name: replace(made, **values)}
