"""What a broker has confirmed, with a channel that says what a test wants."""

from collections import defaultdict

import pytest
from amqp.exceptions import MessageNacked

from app.messaging.confirmations import Confirmations


class Channel:
    """Tells, at each look for news, the next thing of a script: an event, a number, and whether it is meant of all."""

    def __init__(self, *script: tuple[str, int, bool]) -> None:
        self.connection = self
        self.events = defaultdict(set)
        self._script = list(script)

    def confirm_select(self) -> None:
        pass

    def drain_events(self, timeout: float) -> None:
        if not self._script:
            raise TimeoutError("timed out")
        event, number, multiple = self._script.pop(0)
        for callback in self.events[event]:
            callback(number, multiple)


def confirmed(*script: tuple[str, int, bool], messages: int = 3) -> Confirmations:
    confirmations = Confirmations(Channel(*script))
    assert [confirmations.next_number() for _ in range(messages)] == list(range(1, messages + 1))
    return confirmations


def missing(confirmations: Confirmations) -> list[int]:
    return [number for number in (1, 2, 3) if confirmations.is_missing(number)]


def test_messages_are_confirmed_one_by_one_in_any_order_or_many_at_once():
    one_by_one = confirmed(("basic_ack", 2, False), ("basic_ack", 3, False), ("basic_ack", 1, False))
    at_once = confirmed(("basic_ack", 1, False), ("basic_ack", 3, True))

    one_by_one.wait(1)
    at_once.wait(1)

    assert missing(one_by_one) == missing(at_once) == []


def test_a_refused_message_is_named_once_the_others_are_confirmed():
    confirmations = confirmed(("basic_nack", 2, False), ("basic_ack", 1, False), ("basic_ack", 3, False))

    with pytest.raises(MessageNacked):
        confirmations.wait(1)

    assert missing(confirmations) == [2]


def test_a_broker_that_falls_silent_is_waited_for_no_longer_than_asked():
    confirmations = confirmed(("basic_ack", 1, False))

    with pytest.raises(TimeoutError):
        confirmations.wait(1)

    assert missing(confirmations) == [2, 3]


def test_other_news_than_confirmations_does_not_prolong_the_wait():
    confirmations = confirmed(*[("basic_return", 0, False)] * 1_000_000, messages=1)

    with pytest.raises(TimeoutError, match=r"confirmed nothing for 0\.05 s"):
        confirmations.wait(0.05)
