"""What a transient queue keeps: by priority, in order, and not longer than its publishers want."""

from tasks.transports.nats import wire
from tasks.transports.nats.kept import MAX_KEPT, Kept


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _message(body: str, **properties: object) -> bytes:
    return wire.encode({"body": body, "headers": {}, "properties": {"delivery_info": {}, **properties}})


def _all(kept: Kept) -> list[str]:
    taken = []
    while (message := kept.take("mailbox", "tag")) is not None:
        taken.append(message["body"])
    return taken


def test_messages_come_in_order():
    kept = Kept()
    for body in "abc":
        kept.append(_message(body, priority=len(kept)))

    assert len(kept) == 3
    assert _all(kept) == ["a", "b", "c"]
    assert len(kept) == 0


def test_the_most_urgent_come_first_where_priorities_are_kept_apart():
    kept = Kept(levels=4)
    for body, priority in (("low", 0), ("beyond", 9), ("high", 3), ("none", None), ("middle", 1)):
        kept.append(_message(body, priority=priority))

    assert _all(kept) == ["beyond", "high", "middle", "low", "none"]


def test_what_is_no_message_of_kombu_has_no_priority_and_does_not_expire():
    kept = Kept(levels=2)
    kept.append(b"\xff")

    assert len(_all(kept)) == 1


def test_a_message_is_gone_after_the_milliseconds_that_it_allows():
    clock = Clock()
    kept = Kept(monotonic=clock)
    for body, expiration in (("short", "1000"), ("long", "3000"), ("for ever", None)):
        kept.append(_message(body, expiration=expiration))

    clock.now = 1.001

    assert _all(kept) == ["long", "for ever"]


def test_the_oldest_go_when_nobody_reads():
    kept = Kept()
    for number in range(MAX_KEPT + 1):
        kept.append(_message(str(number)))

    assert kept.take("mailbox", "tag")["body"] == "1"


def test_nothing_is_left_after_clearing():
    kept = Kept(levels=2)
    kept.append(_message("a", priority=1))

    kept.clear()

    assert _all(kept) == []
