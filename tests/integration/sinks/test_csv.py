"""The csv sink: every event once, whenever it is killed; files that nobody's spreadsheet runs."""

import csv
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.services import lifecycle
from app.services.recovery.failures import Failure
from app.sinks.csv import CsvSink
from tests.support.factories import make_claim, make_task, pass_events_on

YESTERDAY = timedelta(days=1)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "csv"


@pytest.fixture
def start(make_runner, directory):
    started = []

    def begin(**options):
        for sink, runner in started:
            sink.close()
            runner._turn.end()
        sink = CsvSink(directory, **({"keep_days": 0} | options))
        started.append((sink, make_runner(sink)))
        return started[-1][1]

    yield begin
    for sink, _ in started:
        sink.close()


def lines(directory):
    held = []
    for path in sorted(directory.glob("events-*.csv")):
        with path.open(newline="") as stream:
            held += list(csv.DictReader(stream))
    return held


def positions(directory):
    return [int(line["position"]) for line in lines(directory)]


def happen(session, number):
    for _ in range(number):
        make_task(session)
    pass_events_on(session)


def test_each_event_is_a_line_with_result_and_times(session, start, directory):
    claim = make_claim(session, name="a name")
    lifecycle.complete(session, [(claim, {"answer": 42})], now=lifecycle_now(session))
    pass_events_on(session)

    start().catch_up()

    submitted, claimed, completed = lines(directory)
    assert (submitted["status"], submitted["previous_status"], submitted["seconds"]) == ("PENDING", "", "")
    assert (claimed["status"], claimed["worker"], claimed["name"]) == ("PROCESSING", "worker-a/00000001", "a name")
    assert (completed["result"], completed["task_id"]) == ('{"answer":42}', str(claim.id))
    assert float(completed["seconds"]) >= 0


def lifecycle_now(session):
    return session.scalar(sa.text("SELECT now()"))


def test_a_batch_that_was_written_but_not_noted_is_written_once(session, start, directory):
    happen(session, 2)
    start().catch_up()
    before = session.execute(sa.text("SELECT position, state FROM sinks")).one()
    session.commit()
    happen(session, 3)
    start().catch_up()
    # As after a kill -9 between the disk and the commit: the file has it, the database does not.
    session.execute(
        sa.text("UPDATE sinks SET position = :position, state = CAST(:state AS jsonb)"),
        {"position": before.position, "state": json.dumps(before.state)},
    )
    session.commit()

    start().catch_up()

    assert positions(directory) == [1, 2, 3, 4, 5]


def test_half_a_line_at_the_end_is_cut_off(session, start, directory):
    happen(session, 2)
    start().catch_up()
    [path] = directory.glob("events-*.csv")
    with path.open("ab") as stream:
        stream.write(b"3,2026-03-")
    happen(session, 1)

    start().catch_up()

    assert positions(directory) == [1, 2, 3]


def test_a_file_that_was_moved_away_is_begun_anew(session, start, directory, tmp_path):
    happen(session, 2)
    start().catch_up()
    [path] = directory.glob("events-*.csv")
    path.rename(tmp_path / "archived.csv")
    happen(session, 1)

    start().catch_up()

    assert positions(directory) == [3]


@pytest.mark.parametrize("is_kept", [True, False], ids=["moved", "deleted"])
def test_a_file_that_goes_while_the_sink_runs_is_begun_anew(session, start, directory, tmp_path, is_kept):
    runner = start()
    happen(session, 2)
    runner.catch_up()
    [path] = directory.glob("events-*.csv")
    path.rename(tmp_path / "archived.csv") if is_kept else path.unlink()
    happen(session, 1)
    runner.catch_up()
    happen(session, 1)

    start().catch_up()

    assert positions(directory) == [3, 4]


def test_a_file_that_was_replaced_while_the_sink_runs_is_gone_on_with(session, start, directory, tmp_path):
    runner = start()
    happen(session, 2)
    runner.catch_up()
    [path] = directory.glob("events-*.csv")
    edited = tmp_path / "edited.csv"  # as editors do: a new file in the place of the old one
    edited.write_text(path.read_text())
    edited.rename(path)
    happen(session, 1)

    runner.catch_up()

    assert positions(directory) == [1, 2, 3]


def test_every_day_has_a_file_and_old_ones_go(session, start, directory):
    runner = start(keep_days=2)
    happen(session, 1)
    runner.catch_up()
    [today] = directory.glob("events-*.csv")
    for days in (5, 1):
        (directory / f"events-2020-01-0{days}.csv").write_text("old\n")
    (directory / "notes.csv").write_text("not ours\n")
    session.execute(sa.text("UPDATE task_events SET at = at + interval '1 day'"))
    session.execute(sa.text("UPDATE event_batches SET newest_at = newest_at + interval '1 day'"))
    session.execute(sa.text("UPDATE sinks SET position = 0"))
    session.commit()

    start(keep_days=2).catch_up()

    names = sorted(path.name for path in directory.glob("*.csv"))
    assert len(names) == 3
    assert names[0] == today.name
    assert names[-1] == "notes.csv"


@pytest.mark.parametrize("text", ["=HYPERLINK(0)", "+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_what_a_spreadsheet_would_run_is_made_harmless(session, start, directory, text):
    make_task(session, name=text)
    pass_events_on(session)

    start().catch_up()

    [line] = lines(directory)
    assert line["name"].startswith("'")
    assert line["name"][1:].strip() == text.strip()


def test_an_error_is_told_and_a_sensitive_result_is_not(session, start, directory, monkeypatch):
    from app.services.export import event_rows

    failed = make_claim(session)
    error = Failure(type="ValueError", message="=1+1 is no name")
    lifecycle.fail(session, failed, error, now=lifecycle_now(session), reason="its error is permanent")
    secret = make_claim(session, type="uppercase_text")
    lifecycle.complete(session, [(secret, "TOP SECRET")], now=lifecycle_now(session))
    pass_events_on(session)
    monkeypatch.setattr(event_rows, "is_sensitive", lambda name: name == "uppercase_text")

    start().catch_up()

    by_status = {line["status"]: line for line in lines(directory)}
    assert (by_status["FAILED"]["error_type"], by_status["FAILED"]["error_message"]) == (
        "ValueError",
        "'=1+1 is no name",
    )
    assert by_status["COMPLETED"]["result"] == "[redacted]"


def test_two_processes_never_write_to_one_directory(directory):
    first, second = CsvSink(directory, keep_days=0), CsvSink(directory, keep_days=0)
    first.resume(None)

    with pytest.raises(BlockingIOError):
        second.resume(None)

    first.close()
    second.resume(None)
    second.close()
