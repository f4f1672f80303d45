"""The one model that every form of a workflow compiles to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from taskledger_sdk.workflows import control

MAX_STEPS = 1000
COMPENSATE, STOP, FINISH = "compensate", "stop", "finish"
"""When a step has failed, nothing new begins; with FINISH all that does not come after it does, as in Celery."""
ON_FAILURE = (COMPENSATE, STOP, FINISH)
KEYS = ("ordering_key", "concurrency_key")
MAX_ITEMS = 10_000
"""Of a step with `for_each`."""


@dataclass(frozen=True, kw_only=True)
class Undo:
    """The task that takes a step back; its payload may refer to the result of the step."""

    type: str
    payload: Any

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        return {"type": self.type, "payload": self.payload}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One task of a workflow: what it runs, after which others, and under which condition.

    `ordering_key`, `concurrency_key` and `labels` are templates; None, or a label left out, means what the type says.
    With `for_each`, a template of a list, it runs once for each item, `max_parallel` of them at a time. `written` is
    what stands in the place of type and payload in a step that has none of its own: a wait, or another workflow.
    """

    key: str
    type: str
    payload: Any
    after: tuple[str, ...] = ()
    when: Any = None
    max_retries: int | None = None
    timeout: int | None = None
    compensate_with: Undo | None = None
    ordering_key: Any = None
    concurrency_key: Any = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    for_each: Any = None
    max_parallel: int | None = None
    written: Mapping[str, Any] | None = None

    @property
    def task_type(self) -> str:
        """The type of the task that the step is: of one with `for_each`, the task that its items are children of."""
        return self.type if self.for_each is None else control.FAN_OUT

    @property
    def takes_back_itself(self) -> bool:
        """Whether it knows what of it was done and takes that back, also where it has failed or was cancelled."""
        return self.for_each is not None or self.type == control.SUB_WORKFLOW

    @property
    def said(self) -> str:
        """What it does, for people."""
        if self.written is None:
            words = self.type
        elif "wait_for" in self.written:
            words = f"waits for {self.written['wait_for']}"
        elif "workflow" in self.written:
            words = f"workflow {self.written['workflow']}"
        else:
            words = "sleeps"
        return words if self.for_each is None else f"{words}, for each"

    @property
    def sharing(self) -> list[Any]:
        """The templates beside that of the payload."""
        return [self.ordering_key, self.concurrency_key, *self.labels.values()]

    def as_json(self) -> dict[str, Any]:
        """As it is written, without what is not said."""
        plain = {"type": self.type, "payload": self.payload}
        said: dict[str, Any] = plain if self.written is None else dict(self.written)
        if self.for_each is not None:
            said["for_each"] = self.for_each
        if self.max_parallel is not None:
            said["max_parallel"] = self.max_parallel
        if self.after:
            said["after"] = list(self.after)
        if self.when is not None:
            said["when"] = self.when
        if self.max_retries is not None:
            said["retry"] = {"max_retries": self.max_retries}
        if self.timeout is not None:
            said["timeout"] = self.timeout
        if self.compensate_with is not None:
            said["compensate_with"] = self.compensate_with.as_json()
        said |= {name: value for name in KEYS if (value := getattr(self, name)) is not None}
        if self.labels:
            said["labels"] = dict(self.labels)
        return said


@dataclass(frozen=True, kw_only=True)
class Input:
    """One value that a run is given."""

    type: str
    required: bool = True
    default: Any = None
    description: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        said: dict[str, Any] = {"type": self.type}
        if not self.required:
            said |= {"required": False, "default": self.default}
        return said | ({"description": self.description} if self.description else {})


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A workflow that was checked: its steps by key, in an order in which each comes after those it waits for.

    `inputs` None takes any object. `labels` are templates over the input; each run and its tasks carry them.
    """

    steps: Mapping[str, Step]
    inputs: Mapping[str, Input] | None = None
    on_failure: str = COMPENSATE
    labels: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def dependants(self) -> Mapping[str, tuple[str, ...]]:
        """Which steps wait for each step."""
        found: dict[str, list[str]] = {key: [] for key in self.steps}
        for step in self.steps.values():
            for before in step.after:
                found[before].append(step.key)
        return {key: tuple(keys) for key, keys in found.items()}

    @classmethod
    def stored(cls, said: Mapping[str, Any]) -> Definition:
        """From the full form, which was checked when it was stored; its task types may be gone since."""
        inputs = said.get("input")
        return cls(
            steps={key: _stored_step(key, each) for key, each in said["steps"].items()},
            inputs=None if inputs is None else {name: _stored_input(each) for name, each in inputs.items()},
            on_failure=said.get("on_failure", COMPENSATE),
            labels=said.get("labels", {}),
        )

    def as_json(self) -> dict[str, Any]:
        """The full form; parsing it gives the same definition."""
        said: dict[str, Any] = {}
        if self.inputs is not None:
            said["input"] = {name: each.as_json() for name, each in self.inputs.items()}
        if self.on_failure != COMPENSATE:
            said["on_failure"] = self.on_failure
        if self.labels:
            said["labels"] = dict(self.labels)
        return said | {"steps": {key: step.as_json() for key, step in self.steps.items()}}


def _stored_step(key: str, said: Mapping[str, Any]) -> Step:
    undo, word = said.get("compensate_with"), control.word_of(said)
    kind, payload = control.compiled(said, word) if word else (said["type"], said["payload"])
    return Step(
        key=key,
        type=kind,
        payload=payload,
        after=tuple(said.get("after", ())),
        when=said.get("when"),
        max_retries=said.get("retry", {}).get("max_retries"),
        timeout=None if word else said.get("timeout"),
        compensate_with=None if undo is None else Undo(**undo),
        ordering_key=said.get("ordering_key"),
        concurrency_key=said.get("concurrency_key"),
        labels=said.get("labels", {}),
        for_each=said.get("for_each"),
        max_parallel=said.get("max_parallel"),
        written=control.written(said, word) if word else None,
    )


def _stored_input(said: Mapping[str, Any]) -> Input:
    return Input(
        type=said["type"],
        required=said.get("required", True),
        default=said.get("default"),
        description=said.get("description", ""),
    )
