"""What the client answers with: frozen, with aware moments; `raw` is all that the service said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from taskledger_sdk.client.reading import Read, nested, several, shown
from taskledger_sdk.http.errors import Refused, RequestFailed

FINISHED = frozenset(("COMPLETED", "FAILED", "CANCELLED"))
UNFINISHED_RUN = frozenset(("RUNNING", "PAUSED", "COMPENSATING"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError(Read):
    """Why an attempt failed."""

    type: str
    message: str
    traceback: str | None = None
    """For admins."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Task(Read):
    """A task as it was when the service answered."""

    id: UUID
    type: str
    status: str
    """SCHEDULED, PENDING, PROCESSING, RETRYING, WAITING, COMPLETED, FAILED or CANCELLED."""
    reason: str | None
    name: str | None
    payload: Any
    """As the service shows it: secrets are [redacted]."""
    result: Any
    error: TaskError | None = field(metadata={"read": nested(TaskError)})
    progress: Mapping[str, Any] | None
    priority: str
    queue: str
    attempt: int
    max_retries: int
    timeout: int | None
    labels: Mapping[str, str]
    owner: UUID | None
    parent_id: UUID | None
    created_at: datetime
    scheduled_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    due_at: datetime | None
    etag: str | None = field(default=None, metadata={"local": True})
    """For change(..., unless_changed=task); None for one of a list or a group."""
    is_new: bool = field(default=True, metadata={"local": True})
    """False when a submission found the task that an earlier one had made."""
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether it has ended: COMPLETED, FAILED or CANCELLED."""
        return self.status in FINISHED

    def __repr__(self) -> str:
        said = f"<Task {self.id} {self.type} {self.status}"
        if self.attempt:
            said += f", attempt {self.attempt}"
        if self.error is not None:
            said += f", {self.error.type}: {shown(self.error.message)}"
        elif self.status == "COMPLETED":
            said += f", result {shown(self.result)}"
        return f"{said}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of one submission of submit_many(): an id, or the refusal."""

    index: int
    id: UUID | None = None
    is_new: bool = False
    error: RequestFailed | None = None

    def __repr__(self) -> str:
        if self.error is None:
            return f"<Submitted {self.index}: {self.id}{'' if self.is_new else ', known before'}>"
        code = f" {self.error.code}" if isinstance(self.error, Refused) else ""
        return f"<Submitted {self.index}: refused{code}, {shown(str(self.error))}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Read):
    """One run of a task's handler by a worker."""

    number: int
    worker: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: TaskError | None = field(metadata={"read": nested(TaskError)})
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Read):
    """A line that a handler wrote with task.log()."""

    at: datetime
    attempt: int
    message: str
    fields: Mapping[str, Any]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Why(Read):
    """Why a task does not run: one cause, what it was concluded from, and what to do."""

    task_id: UUID
    status: str
    cause: str
    summary: str
    evidence: Mapping[str, Any]
    next_at: datetime | None
    fix: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(Read):
    """What a task or a run was told; it lies until a wait takes it."""

    id: int
    """Order in which they came."""
    name: str
    data: Any
    sent_by: UUID | None
    at: datetime
    taken_by: str | None
    """The step that took it."""
    taken_at: datetime | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep(Read):
    """Something that the handler of a durable task has done, or waits for, under a name of its own."""

    name: str
    kind: str
    """once, sleep, signal, call, run or checkpoint."""
    state: str
    """BEGUN, DONE, FAILED or UNDONE."""
    result: Any
    error: TaskError | None = field(metadata={"read": nested(TaskError)})
    child_id: UUID | None
    child_status: str | None
    wakes_at: datetime | None
    ended_at: datetime | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Read):
    """A step of a run."""

    key: str
    type: str
    state: str
    task_id: UUID | None
    task_status: str | None
    attempt: int | None
    error: TaskError | None = field(metadata={"read": nested(TaskError)})
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run(Read):
    """One execution of a workflow as it was when the service answered."""

    id: UUID
    workflow: str
    version: int
    status: str
    reason: str | None
    input: Mapping[str, Any]
    progress: Mapping[str, int]
    """percent, total, done, running and failed."""
    steps: tuple[Step, ...] = field(metadata={"read": several(Step)})
    owner: UUID | None
    created_at: datetime
    finished_at: datetime | None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.status not in UNFINISHED_RUN

    def __repr__(self) -> str:
        done, total = self.progress.get("done"), self.progress.get("total")
        return f"<Run {self.id} {self.workflow} {self.status}, {done} of {total} steps>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change of a task's status; `id` is the number to go on after."""

    id: str
    event: str
    """Such as task.completed."""
    task_id: UUID
    type: str
    status: str
    previous_status: str | None
    attempt: int
    at: datetime
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Artifact(Read):
    """A stored file."""

    id: UUID
    name: str
    media_type: str
    size: int
    sha256: str
    task_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Artifact {self.id} {shown(self.name)} {self.media_type}, {self.size} bytes>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Schedule(Read):
    """A rule that submits tasks or starts runs."""

    id: UUID
    name: str | None
    cron: str | None
    run_at: datetime | None
    time_zone: str
    enabled: bool
    next_at: datetime | None
    last_slot_at: datetime | None
    last_task_id: UUID | None
    last_run_id: UUID | None
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rule = self.cron or self.run_at
        state = f"next at {self.next_at}" if self.enabled else "not enabled"
        return f"<Schedule {self.id} {shown(self.name)} {rule} {self.time_zone}, {state}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trigger(Read):
    """A rule that submits tasks or starts runs when something happened elsewhere."""

    id: UUID
    name: str | None
    event: str
    when: Any
    task: Mapping[str, Any] | None
    workflow: Mapping[str, Any] | None
    enabled: bool
    created_at: datetime
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Trigger {self.id} {shown(self.name)} of {self.event}{'' if self.enabled else ', not enabled'}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Read):
    """An event for which a trigger's condition held, and what was started; `reason`: why nothing was."""

    event_id: UUID
    trigger_id: UUID
    state: str
    task_id: UUID | None
    run_id: UUID | None
    reason: str | None
    at: datetime
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutsideEvent(Read):
    """Something that happened elsewhere; what became of it is known once it is read again."""

    id: UUID
    name: str
    data: Any
    """As the service shows it: secrets are [redacted]."""
    received_at: datetime
    applied_at: datetime | None
    """When all triggers had been applied."""
    task_id: UUID
    state: str | None = None
    """Of get_event(): applied, waiting or stopped."""
    summary: str | None = None
    matches: tuple[Match, ...] = field(default=(), metadata={"read": several(Match)})
    unmatched: tuple[Mapping[str, Any], ...] = field(default=(), metadata={"read": lambda said: tuple(said or ())})
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<OutsideEvent {self.id} {self.name}, {self.summary or 'accepted'}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TaskType(Read):
    """A task type of the installation."""

    name: str
    summary: str
    description: str
    payload: Mapping[str, Any]
    """The JSON Schema of its payload."""
    schema_hash: str
    examples: tuple[Any, ...] = field(metadata={"read": tuple})
    queue: str
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<TaskType {self.name}: {shown(self.summary)}>"


class NotFinished(RequestFailed, TimeoutError):
    """The time to wait is over; `last` is the task or run as it was seen last, which goes on."""

    def __init__(self, last: "Task | Run", seconds: float) -> None:
        self.last = last
        super().__init__(f"{last!r} has not finished within {seconds:g} s; it goes on, so wait again or cancel it.")
