"""Repairs and causes as pages: form, preview side by side, start, steering, and the course as a chart has it."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.dashboard.repairs import series_of
from app.dispatcher.repairs import Repairs
from app.services import lifecycle
from app.services.recovery.failures import Failure
from app.services.repairs import CoursePoint
from tests.integration.dashboard.conftest import TOKEN, send
from tests.support.factories import make_claim, read_task

FORM = {
    "type": "reverse_string",
    "fingerprint": "",
    "q": "",
    "patch": '[{"op": "replace", "path": "", "value": "mended"}]',
    "canary": "0",
    "per_second": "100",
    "stop_above_failure_ratio": "",
}


@pytest.fixture
def dead(session, somebody):
    held = make_claim(session, now=utcnow(), owner_id=somebody.id, payload="broken")
    lifecycle.fail(session, held, Failure(type="LookupError", message="no city 'Ulm'"), now=utcnow())
    session.commit()
    return held


def token_in(answer):
    return answer.text.split('name="token" value="')[1].split('"')[0]


def start(page):
    answer = send(page, "/repairs", token=token_in(send(page, "/repairs/new", **FORM)))
    assert answer.status_code == 302, answer.text
    return answer.location


def test_a_preview_shows_the_payload_before_and_after_and_changes_nothing(page, session, dead):
    answer = send(page, "/repairs/new", **FORM)

    assert answer.status_code == 200
    assert answer.text.index("broken") < answer.text.index("mended", answer.text.index("broken"))
    assert read_task(session, dead.id).status == "FAILED"


def test_a_preview_leads_back_to_the_form_with_all_that_was_typed(page, dead):
    sent = {**FORM, "q": "ulm", "canary": "3", "per_second": "7", "stop_above_failure_ratio": "0.25"}
    preview = send(page, "/repairs/new", **sent).text

    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', preview))
    form = send(page, "/repairs/new", **{name: unescape(text) for name, text in fields.items()}, change="1").text

    assert sent.items() <= {name: unescape(text) for name, text in fields.items()}.items()
    assert 'formaction="/repairs/new"' in preview
    assert unescape(form).count(sent["patch"]) == 1
    for name in ("type", "q", "canary", "per_second", "stop_above_failure_ratio"):
        assert re.search(rf'<input id="{name}"[^>]* value="{re.escape(sent[name])}"', form), name


def test_a_repair_is_started_followed_and_undone_by_hand(page, session, dead):
    path = start(page)
    Repairs().run_once(utcnow())
    Repairs().run_once(utcnow())

    shown = page.get(path).text
    assert "Running" in shown
    assert "data-chart" in shown
    assert "Undo this repair?" in page.get(f"{path}/undo").text
    assert send(page, f"{path}/undo").status_code == 302

    row = read_task(session, dead.id)
    assert (row.status, row.payload) == ("FAILED", "broken")
    assert "Undone" in page.get(path).text
    assert "Undone" in page.get("/repairs").text


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("patch", '[{"op": "replace", "path": "/id", "value": 1}]', "/id"),
        ("patch", "{", "is no JSON"),
        ("type", "no_such", "no_such"),
        ("type", "", "Missing"),
        ("canary", "many", "canary"),
        ("fingerprint", "x", "is no fingerprint"),
    ],
)
def test_what_is_wrong_with_the_form_is_told_and_what_was_typed_stays(page, dead, field, value, told):
    answer = send(page, "/repairs/new", **{**FORM, field: value})

    assert answer.status_code == 422
    assert told.lower() in answer.text.lower()
    assert "reverse_string" in answer.text or field == "type"


def test_the_form_is_filled_in_for_a_cause(page, session, dead):
    fingerprint = read_task(session, dead.id).error_fingerprint

    shown = page.get(f"/repairs/new?type=reverse_string&fingerprint={fingerprint}").text

    assert f'value="{fingerprint}"' in shown
    assert TOKEN.search(shown)


def test_a_cause_has_a_page(page, session, dead):
    fingerprint = read_task(session, dead.id).error_fingerprint

    shown = page.get(f"/dead-letters/groups/{fingerprint}").text

    assert "no city" in shown
    assert dead.type in shown
    assert f"/repairs/new?type=reverse_string&amp;fingerprint={fingerprint}" in shown
    assert fingerprint in page.get("/dead-letters").text


def test_a_second_repair_is_told_as_a_conflict(page, session, dead):
    start(page)

    answer = send(page, "/repairs/new", **FORM)

    assert answer.status_code == 409
    assert "one unfinished repair" in answer.text


def test_what_is_over_has_no_buttons(session, page, dead):
    path = start(page)
    session.execute(sa.text("UPDATE repairs SET status = 'COMPLETED', settled = true, finished_at = now()"))
    session.commit()

    shown = page.get(path).text

    assert "/undo" not in shown


def test_a_course_becomes_a_series_without_gaps():
    begun = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    points = [
        CoursePoint(at=begun, seconds=2.0, replayed=5, well=1, failed=0),
        CoursePoint(at=begun + timedelta(seconds=6), seconds=2.0, replayed=1, well=3, failed=2),
    ]

    series = series_of(points)

    assert series["replayed"] == [5, 0, 0, 1]
    assert (series["well"], series["failed"]) == ([1, 0, 0, 3], [0, 0, 0, 2])
    assert series["times"][1] - series["times"][0] == series["width_seconds"] == 2.0
    assert series_of([])["times"] == []
