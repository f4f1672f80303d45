"""What a broker has confirmed of what was published on a channel, where many messages are under way at once."""

import time
from typing import Any

from amqp.exceptions import MessageNacked


class Confirmations:
    """Counts messages as RabbitMQ does, and waits until it has said something of each.

    The client library's own way waits after each message: on a busy machine that is some milliseconds every time.
    """

    def __init__(self, channel: Any) -> None:
        """`channel`: one of py-amqp on which nothing was published yet."""
        self._connection = channel.connection
        self._last = 0
        self._open: set[int] = set()
        self._refused: set[int] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acknowledged)
        channel.events["basic_nack"].add(self._not_acknowledged)

    def next_number(self) -> int:
        """The number of the message that was just published."""
        self._last += 1
        self._open.add(self._last)
        return self._last

    def is_missing(self, number: int) -> bool:
        """Whether the broker has not confirmed this message: it has said nothing of it, or has refused it."""
        return number in self._open or number in self._refused

    def wait(self, seconds: float) -> None:
        """Wait until nothing is open.

        Raises TimeoutError where nothing is confirmed for so long, MessageNacked where the broker refused a message.
        """
        while self._open:
            before, until = len(self._open), time.monotonic() + seconds
            while len(self._open) == before:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"the broker has confirmed nothing for {seconds:g} s")
                self._connection.drain_events(timeout=left)  # raises socket.timeout, which is a TimeoutError
        if self._refused:
            raise MessageNacked

    def _acknowledged(self, number: int, multiple: bool) -> None:
        self._open -= self._meant(number, multiple)

    def _not_acknowledged(self, number: int, multiple: bool) -> None:
        refused = self._meant(number, multiple)
        self._open -= refused
        self._refused |= refused

    def _meant(self, number: int, multiple: bool) -> set[int]:
        return {each for each in self._open if each <= number} if multiple else {number}


class Immediate:
    """Stands in for them where a broker has taken a message once its publishing returns."""

    def next_number(self) -> int:
        """All are alike."""
        return 0

    def is_missing(self, number: int) -> bool:
        """None is."""
        return False

    def wait(self, seconds: float) -> None:
        """There is nothing to wait for."""
