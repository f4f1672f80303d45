"""The lines of an outage: one when it begins, one a minute with a count, and no traceback of what the broker said."""

import json
import logging

import amqp
import pytest

from app.observability import log, log_outages
from app.observability.log_outages import Outages

REFUSED = amqp.NotAllowed("Connection.open: (530) NOT_ALLOWED - vhost t1 not found")


class Hand:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch, logging_as_before: None) -> Hand:
    hand = Hand()
    monkeypatch.setattr(log, "Outages", lambda: Outages(hand))
    log.configure(log_format="json")
    return hand


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def celery_says(seconds: float = 2.0) -> None:
    text = "consumer: Cannot connect to %s: %s.\nTrying again in %.2f seconds"
    logging.getLogger("celery.worker.consumer.consumer").error(text, "amqp://h", REFUSED, seconds)


def we_say(event: str = "messages_dropped", **fields: object) -> None:
    log.get_logger("app.messaging.background").warning(event, **fields)


@pytest.mark.parametrize("say", [celery_says, lambda: we_say(count=3, error=str(REFUSED))])
def test_a_refusal_is_said_once_and_a_minute_later_with_a_count(say, hand, capsys):
    for _ in range(25):
        say()
        hand.now += 1
    first = lines(capsys)
    hand.now += log_outages.AGAIN_SECONDS
    say()

    [again] = lines(capsys)
    assert len(first) == 1
    assert again.get("withheld") == 24 or "(24 more" in str(again["event"])


def test_numbers_that_change_make_no_new_line(hand, capsys):
    for number in range(5):
        celery_says(number)
        we_say(count=number, error=str(REFUSED))

    assert len(lines(capsys)) == 2


def test_another_reason_is_said_at_once(hand, capsys):
    we_say(error="ConnectionRefusedError")
    we_say(error="NotAllowed")

    assert [line["error"] for line in lines(capsys)] == ["ConnectionRefusedError", "NotAllowed"]


@pytest.mark.parametrize("name", ["kombu.mixins", "celery.worker.consumer.consumer"])
def test_what_the_broker_said_needs_no_traceback(name, hand, capsys):
    try:
        raise REFUSED
    except amqp.NotAllowed:
        logging.getLogger(name).warning("Connection to broker lost", exc_info=True)

    [line] = lines(capsys)
    assert "exception" not in line
    assert "vhost t1 not found" in str(line["event"])


def test_a_duty_that_the_broker_refuses_needs_no_traceback(hand, capsys):
    try:
        raise REFUSED
    except amqp.NotAllowed:
        we_say("duty_failed", duty="events", error=str(REFUSED), exc_info=True)

    [line] = lines(capsys)
    assert "exception" not in line


def test_a_duty_that_fails_again_says_so_each_time(hand, capsys):
    for _ in range(2):
        we_say("duty_failed", duty="events", error=str(REFUSED))
        we_say("duty_recovered", duty="events")

    assert [line["event"] for line in lines(capsys)] == ["duty_failed", "duty_recovered"] * 2


def test_a_fault_of_our_own_keeps_its_traceback(hand, capsys):
    try:
        raise KeyError("ours")
    except KeyError:
        we_say("duty_failed", duty="events", exc_info=True)

    [line] = lines(capsys)
    assert "KeyError" in str(line["exception"])


def test_a_line_has_no_fields_and_no_breaks_that_were_not_said(hand, capsys):
    celery_says()

    [line] = lines(capsys)
    line.pop("message", None)  # pytest has formatted it, too
    assert set(line) == {"event", "level", "logger", "timestamp"}
    assert "\\n" not in str(line["event"])


def test_celery_does_not_ask_for_what_is_set(hand, capsys):
    logging.getLogger("py.warnings").warning("worker_cancel_long_running_tasks_on_connection_loss is False by default")

    assert lines(capsys) == []


def test_other_lines_are_written_each_time(hand, capsys):
    for _ in range(3):
        we_say("attempt_failed", task_id="t1", error=str(REFUSED))
        logging.getLogger("library").warning("the same")

    assert len(lines(capsys)) == 6


def test_a_log_file_has_the_same_lines(hand, capsys, tmp_path):
    path = tmp_path / "log.jsonl"
    log.configure(log_format="json", file=log.LogFile(path=path, most_bytes=1_000_000, backups=1))

    for _ in range(3):
        celery_says()

    assert len(lines(capsys)) == len(path.read_text().splitlines()) == 1
