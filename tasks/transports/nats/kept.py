"""What a transient queue has heard and nobody has read yet: the most urgent first, and nothing that is too old."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tasks.transports.nats import wire

MAX_KEPT = 10_000
"""Messages of a queue that nobody reads; the oldest go first, as with every broadcast."""


@dataclass(frozen=True, slots=True)
class _Heard:
    data: bytes
    at: float
    """Seconds of the monotonic clock."""


class Kept:
    """Filled by the loop's thread, emptied by the thread that drains."""

    def __init__(self, *, levels: int = 1, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`levels`: how many priorities are kept apart; messages of one stay in order."""
        self._levels: list[deque[_Heard]] = [deque(maxlen=MAX_KEPT) for _ in range(levels)]
        self._monotonic = monotonic

    def __len__(self) -> int:
        return sum(map(len, self._levels))

    def append(self, data: bytes) -> None:
        """Keep a message as it was published."""
        level = wire.priority_of(data) if len(self._levels) > 1 else 0
        self._levels[max(0, min(level, len(self._levels) - 1))].append(_Heard(data, self._monotonic()))

    def take(self, queue: str, tag: str) -> wire.Message | None:
        """The next message, decoded; None when there is none that is not expired."""
        while (heard := self._next()) is not None:
            message = wire.decode(heard.data, queue=queue, tag=tag, deliveries=1)
            age = timedelta(seconds=self._monotonic() - heard.at)
            if not wire.is_expired(message, age=age):
                return message
        return None

    def clear(self) -> None:
        """Forget all that is kept."""
        for level in self._levels:
            level.clear()

    def _next(self) -> _Heard | None:
        for level in reversed(self._levels):
            try:
                return level.popleft()
            except IndexError:
                continue
        return None
