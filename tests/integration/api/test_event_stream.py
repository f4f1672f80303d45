"""/events/stream: the caller's events, none twice and none left out, and never so many streams that requests starve."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from app.api.events import stream as event_stream
from app.config import load
from app.factory import create_app
from app.services.events import EventFilter
from app.web.live.event_feed import MAX_SEND_SECONDS, MAX_WAITING, Client, Feed
from tests.support.factories import make_task, pass_events_on
from tests.support.people import make_admin, make_key, make_person
from tests.support.servers.databases import NO_BROKER
from tests.support.servers.waiting import wait_for

STREAM = "/api/v1/events/stream"


@pytest.fixture
def make_app(database_url, engine):
    def make(**settings):
        given = {"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER, "RATE_LIMIT_AUTH": "", **settings}
        return create_app(load(given))

    return make


@pytest.fixture
def app(make_app, monkeypatch):
    monkeypatch.setattr(event_stream, "BEAT_SECONDS", 0.3)
    return make_app(STREAM_SECONDS="20", MAX_STREAMS="3")


@pytest.fixture
def owner(database_url, engine):
    return make_person(database_url)


class Reader:
    """Reads a stream in a thread of its own."""

    def __init__(self, answer):
        self.status = answer.status_code
        self.text = ""
        self.ended = threading.Event()
        self._answer = answer
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for piece in self._answer.response:
            self.text += piece.decode() if isinstance(piece, bytes) else piece
            if self.ended.is_set():
                break
        self._answer.close()
        self.ended.set()

    @property
    def events(self):
        """(number, name, data) of the events so far."""
        found = []
        for block in self.text.split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
            if "data" in fields:
                found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
        return found

    def close(self):
        self.ended.set()
        self._thread.join(5)


@contextmanager
def stream(app, person, query="", **headers):
    answer = person.client(app).get(STREAM + query, headers=headers, buffered=False)
    reader = Reader(answer)
    try:
        yield reader
    finally:
        reader.close()


def happen(session, number, **columns):
    tasks = [make_task(session, **columns) for _ in range(number)]
    pass_events_on(session)
    return tasks


def joined(app, count=1):
    feed = app.extensions["taskledger.feed"]
    return lambda: len(feed._clients) == count


def test_events_arrive_as_they_happen(app, owner, session):
    with stream(app, owner) as reader:
        wait_for(joined(app))
        [task] = happen(session, 1, owner_id=owner.id)
        wait_for(lambda: reader.events)

    [(number, name, data)] = reader.events
    assert (number, name) == (1, "task.pending")
    assert (data["task_id"], data["status"], data["previous_status"]) == (str(task.id), "PENDING", None)
    assert set(data) == {"task_id", "type", "status", "previous_status", "attempt", "at"}


def test_other_peoples_events_do_not_arrive_and_an_admin_sees_all(app, owner, session, database_url):
    with stream(app, owner) as mine, stream(app, make_admin(database_url)) as everything:
        wait_for(joined(app, 2))
        happen(session, 1, owner_id=None)
        happen(session, 1, owner_id=owner.id)
        wait_for(lambda: len(everything.events) == 2)
        wait_for(lambda: mine.events)

    assert [number for number, _, _ in mine.events] == [2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?status=PROCESSING", []),
        ("?type=uppercase_text", [2]),
        ("?label=team:a", [2]),
        ("?type=reverse_string&label=team:a", []),
    ],
)
def test_filters_choose(app, owner, session, query, expected):
    with stream(app, owner, query) as reader, stream(app, owner) as all_of_it:
        wait_for(joined(app, 2))
        happen(session, 1, owner_id=owner.id)
        happen(session, 1, owner_id=owner.id, type="uppercase_text", labels={"team": "a"})
        wait_for(lambda: len(all_of_it.events) == 2)
        wait_for(lambda: "id: 2" in reader.text)  # at the latest as a mark

    assert [number for number, _, _ in reader.events] == expected


def test_a_stream_goes_on_after_the_last_event_id_without_gap_or_repeat(app, owner, session):
    happen(session, 30, owner_id=owner.id)
    with stream(app, owner, **{"Last-Event-ID": "10"}) as reader:
        wait_for(joined(app))
        happen(session, 10, owner_id=owner.id)
        wait_for(lambda: len(reader.events) >= 30)

    assert [number for number, _, _ in reader.events] == list(range(11, 41))


def test_nothing_is_lost_or_repeated_while_others_write(app, owner, session, engine):
    from app.database import Session

    stopping = threading.Event()

    def write():
        with Session(engine) as other:
            while not stopping.is_set():
                happen(other, 3, owner_id=owner.id)

    writer = threading.Thread(target=write)
    writer.start()
    seen, last = [], "0"
    try:
        for _ in range(4):
            with stream(app, owner, **{"Last-Event-ID": last}) as reader:
                wait_for(lambda reader=reader: len(reader.events) > 20)
            seen += [number for number, _, _ in reader.events]
            last = str(seen[-1])
    finally:
        stopping.set()
        writer.join()

    assert seen == list(range(1, len(seen) + 1))


def test_a_number_of_the_future_or_of_nobody_begins_now(app, owner, session):
    happen(session, 2, owner_id=owner.id)
    with stream(app, owner, **{"Last-Event-ID": "999"}) as one, stream(app, owner, **{"Last-Event-ID": "x"}) as two:
        wait_for(joined(app, 2))
        happen(session, 1, owner_id=owner.id)
        wait_for(lambda: one.events and two.events)

    assert [number for number, _, _ in one.events] == [number for number, _, _ in two.events] == [3]


def test_what_another_process_has_shown_before_does_not_come_again(app, owner, session, monkeypatch):
    """A client comes with a number that this process has not read yet: it was connected to a quicker one."""
    feed = app.extensions["taskledger.feed"]
    read_on = threading.Event()
    follow = Feed._hand_out_page
    monkeypatch.setattr(Feed, "_hand_out_page", lambda self: read_on.is_set() and follow(self))
    with stream(app, owner):
        wait_for(joined(app))
        happen(session, 5, owner_id=owner.id)
        assert feed._position == 0
        with stream(app, owner, **{"Last-Event-ID": "3"}) as reader:
            wait_for(joined(app, 2))
            wait_for(lambda: ": beat\nid: 3\n" in reader.text)  # never back to what this process has read
            read_on.set()
            wait_for(lambda: len(reader.events) == 2)
            wait_for(lambda: ": beat\nid: 5\n" in reader.text)

    assert [number for number, _, _ in reader.events] == [4, 5]


def test_a_heartbeat_carries_a_number_to_go_on_after(app, owner, session):
    with stream(app, owner) as reader:
        wait_for(joined(app))
        happen(session, 5, owner_id=None)
        wait_for(lambda: ": beat\nid: 5\n" in reader.text)

    assert reader.events == []


def test_past_the_cap_503_says_when_to_try_again(app, owner):
    with stream(app, owner), stream(app, owner), stream(app, owner):
        wait_for(joined(app, 3))
        refused = owner.client(app).get(STREAM)

    assert (refused.status_code, refused.json["code"]) == (503, "too_many_streams")
    assert int(refused.headers["Retry-After"]) > 0


def test_one_account_does_not_take_the_places_of_all_others(make_app, owner, database_url):
    app, other = make_app(MAX_STREAMS="4"), make_person(database_url)
    with stream(app, owner), stream(app, owner), stream(app, owner):
        wait_for(joined(app, 3))
        assert owner.client(app).get(STREAM).status_code == 503
        with stream(app, other) as reader:
            wait_for(joined(app, 4))

    assert reader.status == 200


def test_a_stream_that_ended_makes_room(app, owner):
    with stream(app, owner):
        wait_for(joined(app, 1))
    wait_for(joined(app, 0))


def test_a_stream_ends_after_its_time(make_app, owner):
    app = make_app(STREAM_SECONDS="1")
    with stream(app, owner) as reader:
        wait_for(reader.ended.is_set, timeout=5)


def test_a_revoked_key_ends_its_stream(app, owner, session, database_url):
    key = make_key(database_url, owner, scopes=("tasks:read",))
    with stream(app, key) as reader:
        wait_for(joined(app))
        session.execute(sa.text("UPDATE api_keys SET revoked_at = now()"))
        session.commit()
        wait_for(reader.ended.is_set, timeout=8)  # a key is remembered for two seconds


def test_a_client_that_does_not_read_is_let_go_and_holds_no_more_than_it_may(application):
    client = Client(EventFilter())

    for _ in range(MAX_WAITING + 100):
        client.hand(1, b"x")

    assert client.is_too_slow
    assert client._arrived.qsize() == MAX_WAITING


def test_a_client_that_takes_nothing_for_long_is_hung_up_on():
    ours, theirs = socket.socketpair()
    client = Client(EventFilter(), connection=ours)
    assert not client.is_stuck(1_000)  # nothing is being sent to it
    client.sending_since = 1_000

    assert (client.is_stuck(1_000 + MAX_SEND_SECONDS), client.is_stuck(1_001 + MAX_SEND_SECONDS)) == (
        False,
        True,
    )

    client.hang_up()
    assert theirs.recv(1) == b""
    ours.close()
    client.hang_up()  # it has ended by itself: nothing to do
    theirs.close()


def test_a_stream_is_refused_without_a_credential(anonymous):
    assert anonymous.get(STREAM).status_code == 401


def test_the_feed_reads_nothing_while_nobody_listens(engine):
    assert Feed(engine, most=1)._thread is None
