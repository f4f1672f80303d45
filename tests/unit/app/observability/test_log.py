"""Logging: one line an event, whoever logs it."""

import json
import logging
import sys

import pytest
import structlog

from app.observability import log

pytestmark = pytest.mark.usefixtures("logging_as_before")


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_our_own_event_is_one_json_object(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json")

    log.get_logger("app.somewhere").info("lease_expired", task_id="t1", attempt=2)

    [line] = logged(capsys)
    assert (line["event"], line["task_id"], line["attempt"]) == ("lease_expired", "t1", 2)
    assert (line["level"], line["logger"]) == ("info", "app.somewhere")


def test_a_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json")

    logging.getLogger("library").warning("lost %s of %s", 1, 2)

    [line] = logged(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("lost 1 of 2", "warning", "library")


def test_what_is_bound_to_the_context_is_in_every_line(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json")
    structlog.contextvars.bind_contextvars(request_id="r1")

    log.get_logger("ours").info("a")
    logging.getLogger("theirs").warning("b")

    assert [line["request_id"] for line in logged(capsys)] == ["r1", "r1"]


def test_an_exception_stays_on_one_line(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json")

    try:
        raise ValueError("one\ntwo")
    except ValueError:
        log.get_logger("ours").exception("failed")

    [line] = logged(capsys)
    assert "ValueError: one\ntwo" in str(line["exception"])


def test_less_severe_events_than_asked_for_are_left_out(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json", log_level="WARNING")

    log.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")

    assert logged(capsys) == []


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="json")
    log.configure(log_format="json")

    log.get_logger("ours").info("once")

    assert len(logged(capsys)) == 1


def test_handlers_of_others_stay(capsys: pytest.CaptureFixture[str]):
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)

    log.configure(log_format="json")

    assert theirs in logging.getLogger().handlers


def test_auto_means_json_where_nobody_looks(capsys: pytest.CaptureFixture[str]):
    assert not sys.stderr.isatty()
    log.configure(log_format="auto")

    log.get_logger("ours").info("seen")

    assert logged(capsys)[0]["event"] == "seen"


def test_the_console_format_is_text(capsys: pytest.CaptureFixture[str]):
    log.configure(log_format="console")

    log.get_logger("ours").info("seen", number=3)

    line = capsys.readouterr().err
    assert "seen" in line
    assert "number=3" in line
