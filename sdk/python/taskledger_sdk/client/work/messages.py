"""What a remote worker says to the service: claims, and how attempts ended. Pure."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.client.work.attempt import WorkTask, printable
from taskledger_sdk.errors import MAX_PAUSE_SECONDS, PermanentError, RetryLater, ShuttingDown, TaskCancelled
from taskledger_sdk.http.calls import ANSWER_SECONDS, USER_AGENT, Call
from taskledger_sdk.http.errors import (
    Invalid,
    NotAuthenticated,
    NotConfigured,
    NotPermitted,
    RequestFailed,
    TooManyRequests,
    Unavailable,
    Unreachable,
    Unsendable,
)

log = logging.getLogger("taskledger.work")

Beat: TypeAlias = tuple[WorkTask, Mapping[str, Any]]
CLAIM_WAIT_SECONDS = 20
BEAT_SECONDS = 10.0
MAX_ITEMS = 200
MAX_BYTES = 512 * 1024  # of outcomes in one request
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
TRACEBACK_CHARACTERS, MESSAGE_CHARACTERS = 50_000, 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLife:
    """What a worker says of itself with each claim."""

    name: str
    host: str
    pid: int
    types: Sequence[str]
    concurrency: int
    wait_seconds: int = CLAIM_WAIT_SECONDS
    """So long a claim waits for a task; who ends waits for its last claim."""

    def claim(self, free: int) -> Call:
        """A claim of at most so many tasks; sent again as it is, it gets the same ones."""
        body = {
            "types": list(self.types),
            "worker": self.name,
            "host": self.host[:200],
            "pid": self.pid,
            "version": USER_AGENT,
            "concurrency": self.concurrency,
            "max": min(free, MAX_ITEMS),
            "wait": self.wait_seconds,
            "claim": str(uuid4()),
        }
        return _post("/work/claim", body, seconds=self.wait_seconds + ANSWER_SECONDS)

    def leave(self) -> Call:
        """The worker has ended."""
        return _post("/work/leave", {"worker": self.name}, seconds=BEAT_SECONDS)


def beats(items: Sequence[Mapping[str, Any]]) -> Call:
    """Heartbeats of several attempts. Raises Unsendable."""
    return _post("/work/heartbeats", {"items": list(items)}, seconds=BEAT_SECONDS)


def smaller_beats(told: Sequence[Beat], error: RequestFailed) -> list[list[Beat]] | None:
    """What is sent in place of heartbeats that were refused and always would be; None: they are worth another try.

    Halves of them, until one is alone; that one without what it tells: its lease is worth more.
    """
    if not isinstance(error, Invalid | Unsendable):
        return None
    if len(told) > 1:
        middle = len(told) // 2
        return [list(told[:middle]), list(told[middle:])]
    [(task, beat)] = told
    for kept in (("task_id", "lease", "checkpoint"), ("task_id", "lease")):
        less = {name: value for name, value in beat.items() if name in kept}
        if less.keys() != beat.keys():
            log.warning("what %r tells is not taken, and is left out (%s)", task, error)
            return [[(task, less)]]
    return None


def outcomes(endings: Sequence["Ending"]) -> Call:
    """How several attempts ended."""
    content = b'{"items":[' + b",".join(each.content for each in endings) + b"]}"
    return Call(method="POST", path="/work/outcomes", content=content, headers=JSON, is_harmless=True)


def _post(path: str, body: Any, *, seconds: float) -> Call:
    return Call(method="POST", path=path, content=as_json(body), headers=JSON, seconds=seconds, is_harmless=True)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, as it is sent."""

    task: WorkTask
    content: bytes


def part_of(waiting: Sequence[Ending]) -> list[Ending]:
    """The first endings, as many as go together."""
    part: list[Ending] = []
    size = 0
    for each in waiting[:MAX_ITEMS]:
        size += len(each.content)
        if part and size > MAX_BYTES:
            break
        part.append(each)
    return part


def completed(task: WorkTask, result: Any) -> Ending:
    """The handler returned. What cannot be sent as JSON makes a failure: running it again would return the same."""
    try:
        return _ending(task, {"outcome": "complete", "result": result})
    except RequestFailed as error:
        return failed(task, PermanentError(f"the handler returned what cannot be sent: {error}"))


def failed(task: WorkTask, error: BaseException) -> Ending:
    """The handler raised."""
    if isinstance(error, TaskCancelled | ShuttingDown):
        return released(task)
    told: dict[str, Any] = {
        "outcome": "fail",
        "type": type(error).__name__[:200],
        "message": printable(_text_of(error)[:MESSAGE_CHARACTERS]) or type(error).__name__,
        "traceback": printable("".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]),
        "permanent": isinstance(error, PermanentError),
    }
    if isinstance(error, RetryLater):
        told["retry_in"] = min(error.seconds, MAX_PAUSE_SECONDS)
    return _ending(task, told | task.take_checkpoint())


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (its class is at fault; how the attempt ended is told all the same)
        return ""


def refused(task: WorkTask, why: RequestFailed) -> Ending:
    """The service did not take how the attempt ended, and never will."""
    return failed(task, PermanentError(f"how it ended was refused by the service: {why}"))


def released(task: WorkTask) -> Ending:
    """The handler did not finish, and that is not its fault."""
    return _ending(task, {"outcome": "release", **task.take_checkpoint()})


def _ending(task: WorkTask, told: Mapping[str, Any]) -> Ending:
    return Ending(task, as_json({"task_id": str(task.id), "lease": task.lease, **told}))


def is_passing(error: RequestFailed) -> bool:
    """Whether the same request may succeed in a while."""
    if isinstance(error, Unreachable):
        return error.may_pass
    return isinstance(error, Unavailable | TooManyRequests)


def is_misconfigured(error: RequestFailed) -> bool:
    """Whether no claim will ever succeed."""
    return isinstance(error, NotConfigured | NotAuthenticated | NotPermitted | Invalid) or not is_passing(error)


def pause_after(failures: int, random: float) -> float:
    """Seconds before the next try, after so many that failed; `random` is from 0 to 1."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE) * (1 - random / 2)
