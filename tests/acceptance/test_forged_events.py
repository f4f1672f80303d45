"""Somebody writes to the broker whatever they like: no sink believes it, and none stops."""

import csv
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from kombu import Exchange, Producer
from pytest_httpserver import HTTPServer

from tests.conftest import empty_broker_url
from tests.support.people import Person, make_person
from tests.support.servers.programs import Sink
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

NAMES = ("csv", "stats", "webhooks")
SECRET = "the victim's own words"
FAR = 10**15
POSITIONS = "SELECT name, position FROM sinks ORDER BY name"
ALARMS = "SELECT alarm, alarm_at FROM sinks ORDER BY name"
NEWEST = "SELECT coalesce(max(last_position), 0) AS n FROM event_batches"

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


class Attacked:
    """An installation with all sinks, a receiver of one account's webhook, and a victim with another account."""

    def __init__(self, stack: Stack, csv_dir: Path, receiver: HTTPServer) -> None:
        self.stack, self._csv_dir, self._receiver = stack, csv_dir, receiver
        self.sink = Sink(stack.environment, *NAMES)
        self.victim, self.attacker = make_person(stack.database_url), make_person(stack.database_url)
        receiver.expect_request("/hook").respond_with_data("thanks")
        made = self._post(self.attacker, "/webhooks", {"url": receiver.url_for("/hook"), "events": ["task.completed"]})
        self.webhook = made["id"]

    def submit(self, who: Person, payload: str) -> str:
        return str(self._post(who, "/tasks", {"type": "reverse_string", "payload": payload})["id"])

    def _post(self, who: Person, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{self.stack.api.url}/api/v1{path}", json=body, headers=who.headers, timeout=30)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    @property
    def newest(self) -> int:
        return int(self.stack.rows(NEWEST)[0]["n"])

    def wait_until_sinks_have_all(self) -> None:
        """Everything that happened is numbered and taken."""

        def is_so() -> bool:
            rows, newest = self.stack.rows(POSITIONS), self.newest
            waiting = self.stack.rows("SELECT event_id FROM event_outbox LIMIT 1")
            return not waiting and len(rows) == len(NAMES) and all(row["position"] == newest for row in rows)

        wait_for(is_so, timeout=30, what="the sinks have what the ledger has, no more and no less")

    def send(self, *bodies: bytes, **headers: str) -> None:
        """What anybody may who can write to the broker."""
        with self.stack.broker.connect() as connection:
            producer = Producer(connection.channel(), Exchange("task.events", type="topic"), auto_declare=False)
            for body in bodies:
                producer.publish(body, routing_key="events", content_type="application/json", headers=headers)

    def forge(self, first: int, last: int, **event: Any) -> None:
        """A slice that looks like the dispatcher's."""
        said = {
            "position": first, "event_id": 1, "task_id": str(uuid4()), "type": "reverse_string", "status": "COMPLETED",
            "previous_status": "PROCESSING", "attempt": 1, "worker": "celery@nowhere",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "owner_id": str(self.attacker.id),
        }  # fmt: skip
        events = [{**said, **event}] if event else []
        self.send(json.dumps({"first_position": first, "last_position": last, "events": events}).encode())

    def received(self) -> list[str]:
        return [request.get_data(as_text=True) for request, _ in self._receiver.log]

    def lines(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for path in sorted(self._csv_dir.glob("events-*.csv")):
            with path.open(newline="") as stream:
                found += csv.DictReader(stream)
        return found

    def works_still(self) -> None:
        """A real task reaches its CSV line and its webhook after all of it."""
        word = uuid4().hex
        task_id = self.submit(self.attacker, word)
        wait_for(lambda: any(word in body for body in self.received()), timeout=30, what="the webhook was called")
        self.wait_until_sinks_have_all()
        ended = [line for line in self.lines() if line["task_id"] == task_id and line["status"] == "COMPLETED"]
        assert len(ended) == 1


@pytest.fixture(scope="module")
def attacked(databases, request, tmp_path_factory) -> Iterator[Attacked]:
    url, csv_dir = databases.create(f"forged_{uuid4().hex[:8]}"), tmp_path_factory.mktemp("csv")
    with ExitStack() as closing:
        closing.callback(databases.drop, url)
        receiver = closing.enter_context(HTTPServer())
        stack = closing.enter_context(
            Stack(
                database_url=url,
                broker_url=empty_broker_url(request),
                outbound_allow="127.0.0.1",
                csv_dir=str(csv_dir),
            )
        )
        installation = Attacked(stack, csv_dir, receiver)
        closing.callback(installation.sink.end)
        installation.sink.start().wait_until_ready()
        installation.works_still()
        yield installation


def test_a_forged_owner_gets_nothing_of_another_account(attacked):
    theirs = attacked.submit(attacked.victim, SECRET)
    attacked.stack.wait_until("COMPLETED", [theirs])
    attacked.wait_until_sinks_have_all()

    for ahead in range(1, 4):
        attacked.forge(attacked.newest + ahead, attacked.newest + ahead, task_id=theirs)
    attacked.works_still()

    assert not [body for body in attacked.received() if SECRET in body or theirs in body]
    made = "SELECT id FROM webhook_deliveries WHERE source_task_id = %(id)s"
    assert not attacked.stack.rows(made, {"id": theirs})


def test_what_never_happened_is_in_no_file_and_no_statistics(attacked):
    attacked.wait_until_sinks_have_all()

    attacked.forge(attacked.newest + 1, attacked.newest + 1, type="made_up", worker="celery@made_up")
    attacked.works_still()

    assert not [line for line in attacked.lines() if "made_up" in (line["type"], line["worker"])]
    assert not attacked.stack.rows("SELECT n FROM task_stats WHERE type = 'made_up'")
    numbers = [int(line["position"]) for line in attacked.lines()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("ahead", [1, 1_000])
def test_a_number_far_away_moves_no_sink_and_is_an_alarm(attacked, ahead):
    attacked.wait_until_sinks_have_all()
    newest, began = attacked.newest, attacked.stack.rows("SELECT now() AS at")[0]["at"]

    attacked.forge(newest + ahead, FAR)

    def all_are_alarmed() -> bool:
        rows = attacked.stack.rows(ALARMS)
        return all(row["alarm"] and row["alarm_at"] >= began for row in rows)

    wait_for(all_are_alarmed, timeout=15, what="each sink says that it was lied to")
    assert {row["position"] for row in attacked.stack.rows(POSITIONS)} == {newest}
    assert str(FAR) in attacked.stack.rows(ALARMS)[0]["alarm"]
    attacked.works_still()


def test_nonsense_and_huge_messages_stop_no_sink(attacked):
    huge = b'{"first_position": 1, "last_position": 2, "events": [' + b'"' + b"x" * 12_000_000 + b'"]}'
    deep = b"[" * 200_000
    number = b'{"last_position": ' + b"9" * 5_000 + b"}"

    attacked.send(b"", b"\x80\x04N.", b"[]", b"null", deep, number, huge, huge, b'{"last_position": -5}')

    attacked.works_still()


def test_what_would_unpack_to_gigabytes_is_not_unpacked(attacked):
    bomb = bomb_of(800)

    attacked.send(bomb, bomb, compression="application/x-gzip")
    attacked.works_still()

    assert resident_peak(attacked.sink.pid) < 500_000_000
    assert attacked.sink.log_of_this_run.count("sink_started") == len(NAMES)  # each once: none began anew


def test_a_hint_that_would_unpack_to_gigabytes_is_a_dead_letter(attacked):
    before = attacked.stack.broker.ready("tasks.dead")
    headers = {"compression": "application/x-gzip", "task": "reverse_string", "id": str(uuid4())}
    with attacked.stack.broker.connect() as connection:
        producer = Producer(connection.channel(), Exchange("tasks", type="direct"), auto_declare=False)
        producer.publish(bomb_of(800), routing_key="tasks", content_type="application/json", headers=headers)

    wait_for(lambda: attacked.stack.broker.ready("tasks.dead") > before, timeout=20, what="it was refused")

    assert resident_peak(attacked.stack.worker.pid) < 500_000_000
    attacked.works_still()


def bomb_of(megabytes: int) -> bytes:
    """JSON of so many megabytes, packed into some kilobytes."""
    packer, piece = zlib.compressobj(), b"x" * 1_000_000
    packed = [packer.compress(b'{"last_position": 1, "a": "')]
    packed += [packer.compress(piece) for _ in range(megabytes)]
    return b"".join([*packed, packer.compress(b'"}'), packer.flush()])


def resident_peak(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


EVERYWHERE = (
    ("tasks", "tasks"), ("tasks", "webhooks"), ("task.events", "#"), ("celeryev", "#"), ("task.updates", "updates"),
)  # fmt: skip


def test_who_reads_everything_in_the_broker_reads_no_payload_and_no_result(attacked):
    word = uuid4().hex
    with attacked.stack.broker.connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        for exchange, key in EVERYWHERE:
            channel.queue_bind(queue, exchange, key)
        task_id = attacked.submit(attacked.attacker, word)
        wait_for(lambda: any(word in body for body in attacked.received()), timeout=30, what="the webhook was called")
        attacked.wait_until_sinks_have_all()
        bodies = []
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            bodies.append(message.body if isinstance(message.body, bytes) else str(message.body).encode())

    read = b"".join(bodies)
    assert task_id.encode() in read  # it has seen the hint, and the events
    assert word.encode() not in read
    assert word[::-1].encode() not in read
