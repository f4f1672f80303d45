"""`tledger adopt`: an application is read, and each thing is told with its place."""

import subprocess
import sys
import textwrap
from datetime import datetime, timedelta

import pytest

pytest.importorskip("celery")

from celery.schedules import BaseSchedule, crontab, schedule

from taskledger_sdk.celery import beat, called_code

APPLICATION = """
    from celery import Celery
    from celery.schedules import BaseSchedule, crontab

    app = Celery("shop", broker="memory://")
    app.conf.task_routes = {"shop.report": {"queue": "reports"}}


    @app.on_after_finalize.connect
    def add_more(sender, **_):
        sender.add_periodic_task(60.0, report.s(3), name="added")


    app.conf.beat_schedule = {
        "nightly": {"task": "shop.report", "schedule": crontab(minute=30, hour=2), "args": (1,)},
        "first monday": {"task": "shop.report", "schedule": crontab(0, 0, day_of_month="1-7", day_of_week="mon")},
        "with a set": {"task": "shop.report", "schedule": 60, "args": ({1},)},
        "expires": {"task": "shop.report", "schedule": 60, "args": (2,), "options": {"expires": 30, "priority": 9}},
        "dawn": {"task": "shop.report", "schedule": BaseSchedule()},
    }


    @app.task(name="shop.report", bind=True, rate_limit="10/m")
    def report(self, number):
        return self.replace(report.s(number + 1))
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.py").write_text(textwrap.dedent(APPLICATION), encoding="utf-8")
    return tmp_path


def told(directory, *arguments):
    command = [sys.executable, "-m", "taskledger_sdk.cli", "adopt", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def test_an_application_is_told_what_is_kept_what_differs_and_what_is_refused(shop):
    done = told(shop, "check", "shop:app")

    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert "refused  shop.py:25  self.replace(): return from the task" in done.stdout
    assert any(line.startswith("differs  shop.py:23  shop.report: the rate limit 10/m") for line in lines)
    assert "kept     beat_schedule['nightly']  a schedule of the ledger: 30 2 * * *" in lines
    assert any(line.startswith("refused  beat_schedule['dawn']") for line in lines)
    assert lines[-1] == "4 refused, 3 different."


def test_what_cannot_be_imported_is_said(tmp_path):
    done = told(tmp_path, "check", "nowhere:app")

    assert (done.returncode, "nowhere:app cannot be imported" in done.stderr) == (1, True)


def test_schedules_are_shown_before_they_are_stored(shop):
    done = told(shop, "schedules", "shop:app")

    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert {"kept     nightly  30 2 * * *", "kept     added  * * * * *"} <= set(lines)


@pytest.mark.parametrize(
    ("name", "word", "text"),
    [
        ("dawn", "refused", "a schedule of the kind BaseSchedule"),
        ("first monday", "refused", "Celery wants both"),
        ("with a set", "refused", "argument 1 is a set"),
        ("expires", "differs", "without expires"),
    ],
)
def test_what_a_schedule_cannot_say_is_named(shop, name, word, text):
    lines = told(shop, "schedules", "shop:app").stdout.splitlines()

    [line] = [line for line in lines if f" {name}  " in line]
    assert line.startswith(word)
    assert text in line


@pytest.mark.parametrize(
    ("rule", "cron"),
    [
        (crontab(), "* * * * *"),
        (crontab(minute="*/5", hour="8-18", day_of_week="mon-fri"), "*/5 8-18 * * 1-5"),
        (crontab(minute={0, 30}, hour=[6, 18]), "0,30 6,18 * * *"),
        (crontab(hour="22-2", day_of_week="friday-mon", month_of_year="jan,3"), "* 0-2,22,23 * 1,3 0,1,5,6"),
        (crontab(minute=0, hour=0, day_of_month="1", day_of_week="0-6"), "0 0 1 * *"),
        (crontab(minute=0, hour=0, day_of_month="*/2", day_of_week="mon"), "0 0 */2 * 1"),
        (crontab(minute=0, hour=0, day_of_month="1-7", day_of_week="mon"), None),  # cron: on any of these days
        (crontab(hour=6, nowfun=datetime.now), None),
        (schedule(timedelta(minutes=5)), "*/5 * * * *"),
        (60.0, "* * * * *"),
        (timedelta(hours=1), "0 * * * *"),
        (timedelta(hours=6), "0 */6 * * *"),
        (timedelta(days=1), "0 0 * * *"),
        (30, None),
        (timedelta(minutes=7), None),
        (timedelta(days=2), None),
        (BaseSchedule(), None),  # as solar is one
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rule_is_what_cron_can_say_or_nothing(rule, cron):
    assert beat.cron_of(rule) == cron


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("self.replace(add.s())", [("refused", "self.replace()")]),
        ("text.replace('a', 'b')", []),
        ("task.add_to_chord(sig)", [("refused", "add_to_chord()")]),
        ("self.retry(throw=False)", [("refused", "retry(throw=False)")]),
        ("raise self.retry(countdown=1)", []),
        ("raise self.retry(queue='slow', priority=1)", [("differs", "retry(queue=…, priority=…)")]),
        ("add.apply_async((1,), exchange='x', compression='zlib')", [("differs", "exchange, compression")]),
        ("this is no Python", []),
    ],
)
def test_calls_are_found_in_a_source(source, words):
    found = [(each.word, each.text.partition(":")[0]) for each in called_code.found_in(source)]

    assert found == words
