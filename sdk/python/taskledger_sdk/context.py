"""TaskContext: what a handler is given besides its payload; all that an author may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict, Unpack
from uuid import UUID

from taskledger_sdk.artifacts import Artifacts


class SubmitOptions(TypedDict, total=False):
    """What task.submit() takes besides type, payload and key: the options of POST /tasks. Moments are aware."""

    name: str | None
    priority: Literal["high", "normal", "low"]
    scheduled_at: datetime | None
    max_retries: int | None
    timeout: int | None
    labels: Mapping[str, str]
    expires_at: datetime | None
    callback_url: str | None
    concurrency_key: str | None
    ordering_key: str | None
    after_failure: Literal["block", "release"] | None


class TaskContext(Protocol):
    """The running attempt as its handler sees it; the worker implements it, a test may fake it.

    All of it is plain functions, which may be called from any thread, and from coroutines. What asks the ledger or the
    store of files blocks the caller for as long as that takes: `submit`, `checkpoint`, `last_checkpoint` and all of
    `artifacts`. A coroutine hands them to a thread, so that the event loop goes on:
    `await asyncio.to_thread(task.submit, "send_email", payload)`.
    """

    @property
    def id(self) -> UUID:
        """The task's id: the same on every attempt, so that it can mark outside effects."""

    @property
    def type(self) -> str:
        """The name of the task type."""

    @property
    def attempt(self) -> int:
        """The number of this attempt; 1 is the first."""

    @property
    def deadline(self) -> datetime:
        """The moment (UTC) at which TimeLimitReached is raised in the handler, or its coroutine is cancelled."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that the type declared, and no others."""

    @property
    def artifacts(self) -> Artifacts:
        """The files of the task's owner."""

    @property
    def last_checkpoint(self) -> Any:
        """What this attempt or an earlier one has kept with checkpoint() last; None: nothing, so begin at the start.

        The first look of an attempt asks the ledger, and blocks for as long as that takes.
        """

    def checkpoint(self, value: Any) -> None:
        """Keep a value, as JSON of at most 64 KB, that the next attempt of this task can go on from.

        It is in the ledger when this returns, or within a second where the last one was less than a second ago; the
        newest replaces the ones before. An attempt that has lost its lease keeps nothing.
        Call it where stopping is safe. Raises TaskCancelled when cancelling was asked for; ShuttingDown when the
        worker stops: another one goes on from here, and no attempt is counted. Let both pass.
        Raises PermanentError for a value that is no JSON, or too long.
        """

    def submit(
        self,
        type_name: str,
        payload: Any,
        /,
        *,
        key: str | None = None,
        now: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> UUID:
        """Submit another task for the same account, this one's child; returns its id.

        It is stored in the transaction that records this attempt's outcome, if the handler returns: an attempt that
        fails, or that has lost its lease, submits nothing. With `now` it is stored before the call returns, so that
        it can start while this handler runs; that needs a `key`. A key names the child on every attempt of the task: a
        second call returns the first one's id and submits nothing, whatever its payload.
        Blocks while it asks the ledger: the first call of an attempt does, and each one with `now`.
        Raises PermanentError for what POST /tasks would refuse, naming the path; NoRoom when a quota is reached;
        TaskCancelled when cancelling was asked for.
        """

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the task is, 0 to 1; cheap, because only the newest word is written, about once a second."""

    def log(self, message: str, **fields: object) -> None:
        """Keep a line with the task, for whoever reads it through the API."""

    def check_cancelled(self) -> None:
        """Raise TaskCancelled if cancelling was asked for; call it where stopping is safe."""
