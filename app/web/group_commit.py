"""Group commit: what several threads ask for at the same time is one statement and one commit."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Waiter(Generic[Asked]):
    """A thread that waits for its answer, or to become the leader."""

    __slots__ = ("answer", "asked", "error", "is_done", "signal")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.signal = threading.Lock()  # cheaper than an Event; released by who has the answer, or gives the lead away
        self.signal.acquire()


class GroupCommit(Generic[Asked, Answer]):
    """One thread, the leader, works for all threads that asked while the leader before it worked.

    Nobody waits for others to come: a single caller is served as quickly as without this, and a crowd shares the round
    trip and the commit. `work` answers in the order of what it is given. When it fails for several, each is tried
    alone, because one row that cannot be stored must not take others with it; unless `is_for_all` says that the error
    has nothing to do with what was asked.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answer]],
        *,
        max_group: int,
        is_for_all: Callable[[Exception], bool],
    ) -> None:
        self._work = work
        self._max_group = max_group
        self._is_for_all = is_for_all
        self._waiting: deque[_Waiter[Asked]] = deque()
        self._is_led = False
        self._lock = threading.Lock()

    def do(self, asked: Asked) -> Answer:
        """Have it done, and return its answer or raise its error."""
        mine = _Waiter(asked)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            mine.signal.acquire()
        if not mine.is_done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        answer: Answer = mine.answer
        return answer

    def _lead(self) -> None:
        """Serve those who wait by now, the caller among them; then make the first who came meanwhile the leader."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_group))]
        try:
            self._serve(group)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_led = following is not None
            for waiter in group:
                waiter.is_done = True
                waiter.signal.release()
            if following is not None:
                following.signal.release()

    def _serve(self, group: Sequence[_Waiter[Asked]]) -> None:
        try:
            for waiter, answer in zip(group, self._work([waiter.asked for waiter in group]), strict=True):
                waiter.answer = answer
        except Exception as error:  # noqa: BLE001 (each of them raises it again, in its own thread)
            if len(group) == 1 or self._is_for_all(error):
                for waiter in group:
                    waiter.error = error
            else:
                for waiter in group:
                    self._serve([waiter])
        except BaseException as error:
            for waiter in group:
                waiter.error = error  # a worker that is being ended: those who wait must not wait for ever
            raise
