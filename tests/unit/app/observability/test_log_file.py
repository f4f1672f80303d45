"""The log file: whole lines, put aside when it has grown, also when several write to it."""

import logging

import pytest

from app.observability.log_file import SharedFileHandler


@pytest.fixture
def handlers(tmp_path):
    """Two processes' handlers of one file of at most 100 bytes."""
    made = [SharedFileHandler(tmp_path / "logs" / "api.jsonl", most_bytes=100, backups=2) for _ in range(2)]
    yield made
    for handler in made:
        handler.close()


def say(handler, text) -> None:
    handler.emit(logging.LogRecord("app", logging.INFO, "", 0, text, None, None))


def test_a_file_that_has_grown_is_put_aside_and_no_line_is_lost(handlers, tmp_path):
    lines = [f"line {number:02} {'x' * 30}" for number in range(6)]
    for number, line in enumerate(lines):
        say(handlers[number % 2], line)

    files = [tmp_path / "logs" / name for name in ("api.jsonl.1", "api.jsonl")]
    assert [line for path in files for line in path.read_text().splitlines()] == lines


def test_only_so_many_backups_are_kept(handlers, tmp_path):
    for number in range(30):
        say(handlers[0], f"line {number:02} {'x' * 30}")

    names = {path.name for path in (tmp_path / "logs").iterdir()}
    assert names == {"api.jsonl", "api.jsonl.1", "api.jsonl.2", "api.jsonl.lock"}


def test_a_file_that_was_removed_is_made_again(handlers, tmp_path):
    say(handlers[0], "first")
    (tmp_path / "logs" / "api.jsonl").unlink()

    say(handlers[0], "second")

    assert (tmp_path / "logs" / "api.jsonl").read_text() == "second\n"
