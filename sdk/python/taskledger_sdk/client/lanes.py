"""Group commit over two lanes, without a time window: a lone caller who finds a lane free goes at once.

What comes while both are busy waits, and goes together with the next lane that is free. There is no thread and no
timer: whoever submits sends, alone or for a group, and then hands the lane on to one of those who wait. Callers that
were answered together mostly submit again together: the first of them lets the others come, and sends for all. Threads
among them wake each other in turn: woken all at once, they would stand in line for the interpreter's lock, which takes
the kernel longer than their submissions take them.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from taskledger_sdk.client.submissions import LARGEST_SHARED, MOST_BYTES, MOST_ITEMS, Prepared, batch
from taskledger_sdk.http.calls import Answer, Call
from taskledger_sdk.http.errors import (
    NotAuthenticated,
    NotPermitted,
    QuotaReached,
    RequestFailed,
    TooManyRequests,
    Unavailable,
    Unreachable,
    copy_of,
    refusal_of,
)

LANES = 2
RETURN_SECONDS = 0.001
"""How long callers that were answered together are given to submit again, each time, while more of them do."""
MOST_RETURNS = 16
INTERNAL_ERROR = 500
T = TypeVar("T")
Sending: TypeAlias = Generator[Call, Answer, None]


class Entry:
    """A submission between its caller and the answer."""

    __slots__ = ("behind", "gathers", "group", "is_gone", "outcome", "prepared", "since", "wake")

    def __init__(self, prepared: Prepared, wake: Callable[[], None]) -> None:
        self.prepared = prepared
        self.wake = wake
        self.since = time.monotonic()
        self.group: list[Entry] | None = None
        """What its caller has to send, itself first; None while that is somebody else's business."""
        self.gathers = False
        """Whether its group is not complete before `Queue.gather`."""
        self.outcome: Answer | RequestFailed | None = None
        self.is_gone = False
        """Whether its caller has its answer, or was interrupted, and waits no more."""
        self.behind: deque[Entry] | None = None
        """Those who were answered with it and sleep still, for threads."""

    def answer(self) -> Answer:
        """What the service said to it. Raises what went wrong."""
        if isinstance(self.outcome, RequestFailed):
            raise self.outcome
        assert self.outcome is not None  # noqa: S101  (a caller comes back with one, or is interrupted)
        return self.outcome


class Queue:
    """Which entries go when, and in whose hands. Pure; not for several threads at once."""

    def __init__(self) -> None:
        self._busy = 0
        self._waiting: deque[Entry] = deque()
        self._gathers: Entry | None = None
        """Whose group is not complete; the last who returns wakes its caller."""
        self.returning = 0
        """Callers that were answered together, and have not submitted again yet."""

    def enter(self, entry: Entry) -> None:
        """Give it a lane if one is free, and nobody gathers who would send it; else it waits to be woken."""
        self.returning = max(0, self.returning - 1)
        if self._busy < LANES and self._gathers is None:
            self._busy += 1
            self._give_lane(entry, gathers=self.returning > 0)
            return
        self._waiting.append(entry)
        if self.returning == 0 and self._gathers is not None:
            self._gathers.wake()

    def gather(self, entry: Entry) -> None:
        """Complete its group with those who have come by now."""
        self.returning = 0
        self._end_gathering(entry)
        self._waiting.appendleft(entry)
        entry.group = self._next_group()

    def leave(self, entry: Entry) -> list[Entry]:
        """Its caller goes, served or interrupted; those to wake are returned. A lane that it had is handed on."""
        entry.is_gone = True
        if entry.group is None:
            if entry.outcome is None and entry in self._waiting:
                self._waiting.remove(entry)
            return []
        rest = entry.group[1:]
        entry.group = None
        if entry.gathers:  # and was interrupted before it had
            self._end_gathering(entry)
        served = [each for each in rest if each.outcome is not None and not each.is_gone]
        # Those whose caller was interrupted in between; what was perhaps carried out already is only answered again.
        unserved = [each for each in rest if each.outcome is None and not each.is_gone]
        self._waiting.extendleft(reversed(unserved))
        if rest:
            self.returning += len(rest) + 1
        if not self._waiting or self._gathers is not None:
            self._busy -= 1
            return served
        first = self._waiting.popleft()
        self._give_lane(first, gathers=True)
        return [*served, first]

    def _give_lane(self, entry: Entry, *, gathers: bool) -> None:
        entry.group = [entry]
        entry.gathers = gathers
        if gathers:
            self._gathers = entry

    def _end_gathering(self, entry: Entry) -> None:
        entry.gathers = False
        self._gathers = None

    def _next_group(self) -> list[Entry]:
        group: list[Entry] = []
        size = 0
        while self._waiting and len(group) < MOST_ITEMS:
            length = len(self._waiting[0].prepared.body)
            if group and (length > LARGEST_SHARED or size + length > MOST_BYTES):
                break
            group.append(self._waiting.popleft())
            size += length
            if length > LARGEST_SHARED:
                break
        return group


def sending(group: Sequence[Entry], *, minimal: bool = False) -> Sending:
    """The requests that submit a group, one after the other; sets the outcome of each entry. Knows no sockets.

    With `minimal` a group is answered with ids in place of whole tasks.
    """
    since = min(each.since for each in group)
    if len(group) > 1:
        try:
            answer = yield batch([each.prepared for each in group], since=since, minimal=minimal)
            _share(group, results_of(answer, len(group)))
            return
        except RequestFailed as error:
            if concerns_everybody(error):
                _share(group, [copy_of(error) for _ in group])
                return
    for place, entry in enumerate(group):
        try:
            entry.outcome = yield entry.prepared.alone(since)
        except RequestFailed as error:
            entry.outcome = error
            if concerns_everybody(error):
                rest = group[place + 1 :]
                _share(rest, [copy_of(error) for _ in rest])
                return


def results_of(answer: Answer, count: int) -> list[Answer | RequestFailed]:
    """What a batch said to each of its items. Raises Unreachable for what is no answer to this batch."""
    results = answer.data.get("results")
    if not isinstance(results, list) or len(results) != count:
        raise Unreachable("The answer to a batch does not fit it: is something in between?", may_pass=False)
    return [_result(each) for each in results]


def concerns_everybody(error: RequestFailed) -> bool:
    """Whether a refusal says nothing of a single submission: each of them would meet the same."""
    if isinstance(error, Unavailable):
        return error.status != INTERNAL_ERROR  # which one item alone may have caused
    if isinstance(error, QuotaReached):
        return False  # there may be room for some
    return isinstance(error, Unreachable | NotAuthenticated | NotPermitted | TooManyRequests) and (
        getattr(error, "code", "") != "type_not_allowed"
    )


def _result(said: dict[str, Any]) -> Answer | RequestFailed:
    if "task" in said:
        return Answer(status=said["status"], data=said["task"])
    return refusal_of(said["problem"], said["status"])


def _share(group: Sequence[Entry], outcomes: Sequence[Answer | RequestFailed]) -> None:
    for entry, outcome in zip(group, outcomes, strict=True):
        entry.outcome = outcome


class Lanes:
    """For threads. `send` carries out what `sending` asks for, and returns when that has ended."""

    def __init__(self, send: Callable[[Sending], None], *, minimal: bool = False) -> None:
        self._send = send
        self._minimal = minimal
        self._queue = Queue()
        self._lock = threading.Lock()

    def submit(self, prepared: Prepared, read: Callable[[Answer], T]) -> T:
        """What `read` makes of the answer to this one submission. Raises RequestFailed."""
        woken = threading.Lock()
        woken.acquire()

        def wake() -> None:
            try:  # noqa: SIM105  (`suppress` takes longer than all of this)
                woken.release()
            except RuntimeError:  # who gathers may be woken a second time before it has noticed the first
                pass

        entry = Entry(prepared, wake)
        try:
            with self._lock:
                self._queue.enter(entry)
            if entry.group is None:
                woken.acquire()
            if entry.gathers:
                self._let_return(woken)
                with self._lock:
                    self._queue.gather(entry)
            if entry.group is not None:
                self._send(sending(entry.group, minimal=self._minimal))
            return read(entry.answer())
        finally:
            self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        """Go, and wake who has the lane now, and the next of those who were answered together.

        Each of them wakes one, whether it was woken itself or interrupted: so all are.
        """
        with self._lock:
            to_wake = self._queue.leave(entry)
            served = deque(each for each in to_wake if each.group is None)
            for each in served:
                each.behind = served
        for each in to_wake:
            if each.group is not None:
                each.wake()
        behind = served or entry.behind
        if behind:
            with suppress(IndexError):  # another one has woken the last
                behind.popleft().wake()

    def _let_return(self, woken: threading.Lock) -> None:
        """Let those who were answered together submit again, as long as more of them do; the last one wakes us."""
        before = -1
        for _ in range(MOST_RETURNS):
            left = self._queue.returning
            if left in (0, before):
                return
            before = left
            woken.acquire(timeout=RETURN_SECONDS)


class AsyncLanes:
    """For coroutines of one event loop."""

    def __init__(self, send: Callable[[Sending], Awaitable[None]]) -> None:
        self._send = send
        self._queue = Queue()

    async def submit(self, prepared: Prepared) -> Answer:
        """The answer to this one submission. Raises RequestFailed."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        entry = Entry(prepared, wake)
        try:
            self._queue.enter(entry)
            if entry.group is None:
                await woken
            if entry.gathers:
                if self._queue.returning:
                    await asyncio.sleep(0)  # they are called before this one is again
                self._queue.gather(entry)
            if entry.group is not None:
                await self._send(sending(entry.group))
        finally:
            for each in self._queue.leave(entry):
                each.wake()
        return entry.answer()
