"""What all sinks share: each event is taken once, in order, whatever arrives."""

import json

import pytest
import sqlalchemy as sa

from app.commands.doctor.service_points import of_sinks
from app.messaging import Numbered, Slice
from app.services import events
from app.services.events import Window, sinks
from app.services.measuring import counters
from app.sinks.stats import StatsSink
from tests.integration.sinks.conftest import Message, Nobody
from tests.support.factories import NOON, pass_events_on, seconds


class Remembering:
    """Keeps what it was given."""

    name = "remembering"

    def __init__(self, first=0):
        self.first = first
        self.taken = []
        self.events = []
        self.fault = None

    def first_position(self, _):
        return self.first

    def resume(self, state):
        self.resumed_from = state

    def handle(self, session, taken, *, now):
        if self.fault:
            raise self.fault
        self.taken += [event.position for event in taken]
        self.events += taken
        return {"count": len(self.taken)}


@pytest.fixture
def sink():
    return Remembering()


@pytest.fixture
def runner(make_runner, sink):
    return make_runner(sink)


MANY = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now()
FROM generate_series(1, :number)
"""


def happen(session, number):
    session.execute(sa.text(MANY), {"number": number})
    pass_events_on(session)


def message(session, first, last):
    page = events.read_after(session, first - 1, limit=last - first + 1)
    session.commit()
    return Message(Slice(first_position=first, last_position=last, events=page.events).body())


def place(session):
    session.commit()
    return session.execute(sa.text("SELECT position, state FROM sinks WHERE name = 'remembering'")).one()


def test_messages_are_taken_in_order_and_acknowledged(session, runner, sink):
    happen(session, 5)
    arrived = message(session, 1, 3)

    runner.receive(arrived)
    runner.receive(message(session, 4, 5))

    assert (sink.taken, arrived.state) == ([1, 2, 3, 4, 5], "acknowledged")
    assert place(session) == (5, {"count": 5})


def test_what_was_taken_before_is_dropped(session, runner, sink):
    happen(session, 5)
    again = message(session, 1, 3)
    runner.receive(message(session, 1, 3))

    runner.receive(again)
    runner.receive(message(session, 2, 5))

    assert (sink.taken, again.state) == ([1, 2, 3, 4, 5], "acknowledged")


def test_what_never_arrived_is_read_from_the_ledger(session, runner, sink):
    happen(session, 6)

    runner.receive(message(session, 5, 6))

    assert sink.taken == [1, 2, 3, 4, 5, 6]


def test_a_sink_that_was_down_catches_up_without_a_single_message(session, runner, sink):
    happen(session, 2_500)

    assert runner.catch_up() == 2_500

    assert sink.taken == list(range(1, 2_501))


def test_numbers_of_deleted_tasks_are_passed_over(session, runner, sink):
    happen(session, 3)
    session.execute(sa.text("DELETE FROM task_events WHERE id = (SELECT max(id) FROM task_events)"))
    session.commit()

    runner.catch_up()

    assert (sink.taken, place(session).position) == ([1, 2], 3)


NONSENSE = (
    b'{"events": "nonsense"}', b"\x80\x04N.", b"", b"[]", b'{"first_position": 1}', b"[" * 100_000,
    b'{"a": ' + b"[" * 100_000, b'{"last_position": 1e400}', b'{"last_position": "1"}',
    b'{"last_position": ' + b"9" * 5_000 + b"}", b'{"last_position": 1, "a": "' + b"x" * 4_000_000 + b'"}',
)  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_a_message_that_nobody_understands_is_rejected(runner, body):
    arrived = Message(body)

    runner.receive(arrived)

    assert arrived.state == "rejected"


def test_a_message_of_another_release_is_taken_whatever_else_it_says(session, runner, sink):
    happen(session, 1)
    told = json.loads(message(session, 1, 1).body)
    told["events"][0] |= {"at": told["events"][0]["at"].replace("Z", "+00:00"), "colour": "blue"}
    arrived = Message(json.dumps({**told, "version": 2}).encode())

    runner.receive(arrived)

    assert (sink.taken, arrived.state) == ([1], "acknowledged")


def test_a_message_with_numbers_that_the_ledger_never_gave_is_dropped(session, runner, sink):
    happen(session, 1)
    arrived = Message(Slice(first_position=900, last_position=900, events=[]).body())

    runner.receive(arrived)

    assert (sink.taken, arrived.state) == ([1], "acknowledged")


def test_nothing_that_a_message_says_of_an_event_is_taken(session, runner, sink):
    happen(session, 1)
    [real] = events.read_after(session, 0, limit=1).events
    session.commit()
    lies = {"type": "made_up", "owner_id": real.task_id, "position": 2, "status": "FAILED"}
    forged = Numbered(**{**{name: getattr(real, name) for name in Numbered.__struct_fields__}, **lies})

    runner.receive(Message(Slice(first_position=1, last_position=2, events=[forged]).body()))

    assert sink.events == [real]
    assert place(session).position == 1


def alarm(session):
    session.commit()
    return session.execute(sa.text("SELECT alarm, alarm_at FROM sinks WHERE name = 'remembering'")).one()


def test_a_message_with_an_impossible_number_is_an_alarm_and_counted(session, runner):
    happen(session, 1)
    for _ in range(3):
        runner.receive(Message(Slice(first_position=2, last_position=10**15, events=[]).body()))

    runner.on_iteration()

    assert alarm(session) == (f"a message named event {10**15}, and the newest is 1", NOON)
    assert counters.read(session)[counters.MESSAGES_REFUSED] == 3
    [status] = sinks.statuses(session, now=NOON)
    assert (status.position, status.lag_events, status.is_alarmed) == (1, 0, True)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_sink_that_stands_beyond_the_ledger_says_so_and_goes_back(session, make_runner, sink, is_running):
    runner = make_runner(sink)
    happen(session, 2)
    runner.catch_up()
    session.execute(sa.text("UPDATE sinks SET position = :far"), {"far": 10**15})
    session.commit()
    [status] = sinks.statuses(session, now=NOON)
    assert (status.lag_events, status.is_alarmed) == (2 - 10**15, True)

    if is_running:
        runner._place = sinks.Place(position=10**15, state=None)
        runner.on_iteration()
    else:
        runner._turn.end()
        runner = make_runner(sink)
    happen(session, 1)
    runner.catch_up()

    assert (sink.taken, place(session).position) == ([1, 2, 3], 3)
    assert "stood at 1000000000000000, and the newest event is 2" in alarm(session).alarm


def test_the_doctor_tells_of_sinks_beyond_the_ledger_and_of_alarms(session, runner):
    def told():
        session.commit()
        return [(found.state, found.seen) for found in of_sinks(session, now=NOON)]

    happen(session, 1)
    runner.catch_up()
    assert told() == [("ok", "each is within the ledger")]

    session.execute(sa.text("UPDATE sinks SET position = 8"))
    assert told() == [("fault", "beyond the newest event: remembering by 7")]

    session.execute(sa.text("UPDATE sinks SET position = 1"))
    session.commit()
    runner.receive(Message(b"nonsense"))
    runner.on_iteration()
    [(state, seen)] = told()
    assert (state, seen.startswith("remembering: a message of 8 bytes could not be read")) == ("warning", True)


def test_numbers_that_are_in_the_ledger_no_more_are_an_alarm(session, runner, sink):
    happen(session, 1)
    runner.receive(message(session, 1, 1))
    for _ in range(2):
        happen(session, 1)
    session.execute(sa.text("DELETE FROM event_batches WHERE first_position = 2"))
    session.commit()

    runner.catch_up()

    assert (sink.taken, place(session).position) == ([1, 3], 3)
    assert "1 events after number 1 are in the ledger no more" in alarm(session).alarm


def test_sinks_of_one_process_read_each_event_once(session, make_runner, sink, monkeypatch):
    other, window = Remembering(), Window()
    other.name = "other"
    runners = [make_runner(each, window=window) for each in (sink, other)]
    happen(session, 5)
    reads = []
    monkeypatch.setattr(
        "app.services.events.log.read_after",
        lambda *given, **named: reads.append(given[1]) or events.read_after(*given, **named),
    )

    arrived = message(session, 1, 5)
    for runner in runners:
        runner.receive(Message(arrived.body))

    assert (sink.taken, other.taken, reads) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [0])


def test_a_sink_finds_its_part_of_a_page_that_another_one_has_read(session, make_runner, sink):
    other, window = Remembering(), Window()
    other.name = "other"
    first, second = (make_runner(each, window=window) for each in (sink, other))
    happen(session, 2)
    second.catch_up()
    window.forget()
    happen(session, 3)

    first.catch_up()
    second.catch_up()

    assert (sink.taken, other.taken) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])


def test_a_sink_goes_on_where_it_was_noted_to_be(session, make_runner, sink):
    first = make_runner(sink)
    happen(session, 2)
    first.catch_up()
    first._turn.end()

    again = Remembering()
    second = make_runner(again)
    happen(session, 1)
    second.catch_up()

    assert (again.resumed_from, again.taken) == ({"count": 2}, [3])


def test_what_a_sink_could_not_take_it_is_given_again(session, runner, sink):
    happen(session, 2)
    sink.fault = OSError("No space left on device")
    with pytest.raises(Exception, match="No space left"):
        runner.catch_up()
    assert place(session).position == 0

    sink.fault = None
    runner.catch_up()

    assert sink.taken == [1, 2]


def test_the_second_copy_of_a_sink_waits_for_the_first(session, make_runner, sink):
    from kombu import Connection

    from app.sinks.base import SinkRunner

    first = make_runner(sink)
    second = SinkRunner(Remembering(), Connection("memory://"), Nobody(), now=lambda: NOON)
    assert not second._take_turn()

    first._turn.end()
    second._now = lambda: NOON + seconds(2)

    assert second._take_turn()
    second._turn.end()


def test_each_batch_is_followed_by_a_notification(session, runner):
    happen(session, 2)

    runner.catch_up()

    assert runner._publisher.told == [{"sink": "remembering", "position": 2, "events": 2}]


def test_a_sink_that_catches_up_for_long_is_running(session, runner):
    runner._now = lambda: NOON + seconds(3_600)
    happen(session, 2)

    runner.catch_up()

    [status] = sinks.statuses(session, now=NOON + seconds(3_601))
    assert status.running


def test_the_status_of_a_sink_says_how_far_behind_it_is(session, make_runner):
    runner = make_runner(StatsSink())
    happen(session, 3)
    runner.catch_up()
    happen(session, 2)

    [status] = sinks.statuses(session, now=NOON)

    assert (status.name, status.running, status.position, status.lag_events) == ("stats", True, 3, 2)
