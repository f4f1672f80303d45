"""What pages say: policy, hidden values, hostile texts, forms."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.dashboard import overview
from app.models import Status
from app.services import webhooks
from taskledger_sdk.registry import known_types
from tests.integration.dashboard.conftest import send
from tests.support.factories import NOON, create_schedule, make_claim, make_task, seconds
from tests.support.people import make_admin, make_person
from tests.support.runs import start, step

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
PLACES = (
    "/", "/tasks", "/dead-letters", "/queues", "/workers", "/schedules", "/workflows", "/runs", "/webhooks",
    "/accounts", "/account", "/audit", "/repairs", "/repairs/new",
)  # fmt: skip

TEXT, OBJECT = "CAST(:text AS text)", "jsonb_build_object(CAST(:text AS text), CAST(:text AS text))"
HOSTILE_ROWS = (
    f"INSERT INTO task_log (task_id, attempt, at, message, fields) VALUES (:busy, 1, now(), :text, {OBJECT})",
    (
        "INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at) "
        f"VALUES (:text, :text, :text, 1, 1, ARRAY[{TEXT}], {OBJECT}, :text, now(), now())"
    ),
    "INSERT INTO duties (name, node, last_error) VALUES (:text, :text, :text)",
    "INSERT INTO pauses (kind, name, paused_at, reason) VALUES ('type', 'reverse_string', now(), :text)",
    f"INSERT INTO audit_log (at, action, subject, address, detail) VALUES (now(), :text, :text, :text, {OBJECT})",
    (
        "UPDATE task_events SET worker = :text, detail = jsonb_build_object('reason', CAST(:text AS text), "
        "'error', jsonb_build_object('type', CAST(:text AS text), 'message', CAST(:text AS text)))"
    ),
    (
        "INSERT INTO schedule_slots (schedule_id, slot_at, state, reason, recorded_at) "
        "VALUES (:schedule, now(), 'missed', :text, now())"
    ),
    (
        "INSERT INTO artifacts (id, task_id, name, media_type, size, sha256, created_at, stored_at) "
        "VALUES (gen_random_uuid(), :done, :text, :text, 1, 'x', now(), now())"
    ),
    "UPDATE workflows SET description = :text",
    f"UPDATE workflow_runs SET reason = :text, labels = {OBJECT}, input = {OBJECT}",
    f"UPDATE workflow_steps SET error = {OBJECT}",
    "UPDATE workflow_run_events SET reason = :text",
    (
        "UPDATE webhooks SET url = 'https://example.com/' || :text, description = :text, enabled = false, "
        "disabled_at = now(), disabled_reason = :text"
    ),
    (
        f"UPDATE webhook_deliveries SET event = :text, body = {OBJECT}, "
        "attempts = jsonb_build_array(jsonb_build_object('at', '2026-01-01', 'error', CAST(:text AS text)))"
    ),
    "INSERT INTO sinks (name, position, node, last_error) VALUES (:text, 0, :text, :text)",
)


@pytest.fixture(autouse=True)
def fresh():
    overview.forget()


def failed(store, **columns):
    told = {"error": {"type": "ValueError", "message": "boom", "traceback": "line 1"}, "error_fingerprint": "0" * 16}
    return store(status=Status.FAILED, attempt=1, **{**told, **columns})


@pytest.mark.parametrize("path", ["/submit", "/schedules/new"])
def test_types_that_only_the_service_submits_are_not_offered(page, path):
    offered = page.get(path).text

    assert "reverse_string" in offered
    assert "webhook_delivery" not in offered


@pytest.mark.parametrize("path", PLACES)
def test_every_page_says_a_strict_policy_and_is_kept_by_nobody(boss, path):
    answer = boss.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]* src=)", answer.text)


def test_hostile_text_in_every_field_is_shown_as_text(boss, session, store, now, database_url):
    admin = make_admin(database_url)
    session.execute(sa.text("UPDATE users SET name = :text"), {"text": HOSTILE})
    columns = {"name": HOSTILE, "labels": {"team": HOSTILE}, "payload": {HOSTILE: HOSTILE}, "reason": HOSTILE}
    error = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    bad = failed(store, now=now, error=error, **columns)
    done = store(status=Status.COMPLETED, now=now, result={HOSTILE: HOSTILE}, owner_id=admin.id, **columns)
    progress = {"fraction": 0.5, "message": HOSTILE}
    busy = store(status=Status.PROCESSING, now=now, progress=progress, leased_pid=1, **columns)
    template = {"type": "reverse_string", "payload": HOSTILE, "name": HOSTILE}
    said = {"name": HOSTILE, "problem": HOSTILE, "target": {"task": template}}
    schedule = create_schedule(session, now=now, next_at=now, **said)
    ids = {"busy": busy.id, "done": done.id, "schedule": schedule.id}
    run = start(session, {"a": step(payload=HOSTILE)})
    hook, _ = webhooks.create(
        session, webhooks.NewWebhook(url="https://example.com/"), owner_id=admin.id, key=None, keys=(), now=now
    )
    webhooks.send_test(session, hook.id, owner=None, now=now)
    for statement in HOSTILE_ROWS:
        session.execute(sa.text(statement), {"text": HOSTILE, **ids})
    session.commit()

    shown = 0
    paths = [*PLACES, *(f"/tasks/{task.id}" for task in (bad, done, busy)), f"/tasks/{bad.id}/retry",
             f"/tasks/{done.id}/edit", f"/submit/reverse_string?copy_of={done.id}", f"/schedules/{schedule.id}",
             f"/schedules/{schedule.id}/edit", f"/schedules/{schedule.id}/run", f"/accounts/{admin.id}",
             "/dead-letters/replay", "/queues/types/reverse_string/resume", f"/schedules?q={HOSTILE}",
             f"/tasks?q={HOSTILE}&label={HOSTILE}&owner={HOSTILE}", f"/audit?action={HOSTILE}&actor={HOSTILE}",
             f"/runs/{run.id}", f"/runs/{run.id}/cancel", "/workflows/flow", f"/workflows?q={HOSTILE}",
             f"/runs?workflow={HOSTILE}", f"/webhooks/{hook.id}", f"/webhooks/{hook.id}/delete",
             f"/login?next={HOSTILE}", f"/{HOSTILE}"]  # fmt: skip
    for path in paths:
        answer = boss.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in (200, 302, 404), (path, answer.text[:2000])
        assert "<script>alert" not in answer.text, path
        assert "<img src=x" not in answer.text, path
        assert "49}" not in answer.text, path
        shown += answer.text.count("&lt;script&gt;alert(1)")
    assert shown > 60


def test_what_a_type_declares_secret_is_not_on_any_page(page, somebody, store):
    payload = {"url": "https://example.org/", "headers": {"Authorization": "Bearer hush-hush"}}
    task = store(type="http_request", payload=payload, owner_id=somebody.id)

    for path in (f"/tasks/{task.id}", f"/tasks/{task.id}/edit", f"/submit/http_request?copy_of={task.id}"):
        assert "hush-hush" not in page.get(path).text


def test_a_copy_of_ones_own_task_keeps_what_its_form_hides(page, somebody, store, session):
    payload = {"url": "https://example.org/", "headers": {"Authorization": "Bearer hush-hush", "X-A": "b"}}
    task = store(type="http_request", payload=payload, owner_id=somebody.id)
    form = {
        "copy_of": str(task.id),
        "payload.url": "https://example.org/other",
        "payload.headers.@items": ["0", "1"],
        "payload.headers.0.key": "Authorization",
        "payload.headers.0.value": "[redacted]",
        "payload.headers.1.key": "X-A",
        "payload.headers.1.value": "changed",
        "payload.follow_redirects": "true",
    }

    assert send(page, "/submit/http_request", **form).status_code == 302
    made = session.execute(sa.text("SELECT payload FROM tasks WHERE id <> :id"), {"id": task.id}).scalar_one()
    assert made == {
        "url": "https://example.org/other",
        "headers": {"Authorization": "Bearer hush-hush", "X-A": "changed"},
    }


def test_an_admin_cannot_send_somebody_elses_secrets_elsewhere(boss, somebody, store, session):
    payload = {"url": "https://example.org/", "headers": {"Authorization": "Bearer hush-hush"}}
    task = store(type="http_request", payload=payload, owner_id=somebody.id)
    form = {
        "copy_of": str(task.id),
        "payload.url": "https://evil.example/",
        "payload.headers.@items": "0",
        "payload.headers.0.key": "Authorization",
        "payload.headers.0.value": "[redacted]",
    }

    answer = send(boss, "/submit/http_request", **form)
    assert answer.status_code == 422
    assert "is hidden from you" in answer.text
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 1


def test_tracebacks_are_for_admins(page, boss, somebody, session, now):
    claim = make_claim(session, now=now - seconds(60), owner_id=somebody.id, max_retries=0)
    error = '{"type": "E", "message": "m", "traceback": "tb-line"}'
    failing = sa.text("UPDATE tasks SET status = 'FAILED', error = CAST(:error AS jsonb) WHERE id = :id")
    session.execute(failing, {"id": claim.id, "error": error})
    session.commit()

    assert "tb-line" in boss.get(f"/tasks/{claim.id}").text
    assert "tb-line" not in page.get(f"/tasks/{claim.id}").text


def test_a_refused_payload_is_told_at_its_field_and_nothing_is_stored(page, session):
    form = {"payload.url": "ftp://example.org", "payload.timeout": "1000", "payload.method": "GET", "name": "mine"}
    answer = send(page, "/submit/http_request", **form)

    assert answer.status_code == 422
    assert answer.text.count('class="field-error"') == 2
    assert 'value="mine"' in answer.text
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0


def test_a_form_that_is_sent_twice_submits_once(page, session):
    form = {"payload": "hello", "key": "00000000-0000-4000-8000-00000000abcd"}
    first, second = (send(page, "/submit/reverse_string", **form) for _ in range(2))

    assert first.location == second.location
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 1


def test_a_waiting_task_is_changed_unless_it_changed_meanwhile(page, somebody, store, session):
    task = store(type="http_request", payload={"url": "https://example.org/"}, owner_id=somebody.id)
    drawn = page.get(f"/tasks/{task.id}/edit").text
    state = re.search(r'name="state" value="([^"]+)"', drawn).group(1)
    form = {"payload.url": "https://example.org/two", "payload.follow_redirects": "true", "name": "renamed",
            "priority": "high", "state": state}  # fmt: skip

    assert send(page, f"/tasks/{task.id}/edit", **form).status_code == 302
    row = session.execute(sa.text("SELECT name, priority, payload FROM tasks")).one()
    assert (row.name, row.priority, row.payload) == ("renamed", "high", {"url": "https://example.org/two"})
    assert send(page, f"/tasks/{task.id}/edit", **form).status_code == 409


def test_a_schedule_is_made_by_a_form_with_a_preview(page, session):
    path = "/schedules/new?type=reverse_string"
    form = {"kind": "cron", "cron": "30 7 * * 1-5", "time_zone": "Europe/Berlin", "payload": "hello",
            "schedule_name": "morning", "misfire": "skip", "overlap": "skip"}  # fmt: skip

    preview = send(page, path, **form, _refresh="1")
    assert "07:30" in preview.text
    assert session.scalar(sa.text("SELECT count(*) FROM schedules")) == 0
    refused = send(page, path, **{**form, "cron": "61 * * * *"})
    assert (refused.status_code, "field-error" in refused.text) == (422, True)
    assert send(page, path, **form).status_code == 302
    made = session.execute(sa.text("SELECT name, cron, time_zone, misfire, target FROM schedules")).one()
    assert made[:4] == ("morning", "30 7 * * 1-5", "Europe/Berlin", "skip")
    assert made.target == {"task": {"type": "reverse_string", "payload": "hello"}}


def test_a_schedule_shows_no_secret_of_the_callbacks_address(page, somebody, session, now):
    task = {"type": "reverse_string", "payload": "hello", "callback_url": "https://example.org/?token=not-for-eyes"}
    schedule = create_schedule(session, now=now, owner_id=somebody.id, target={"task": task})
    session.commit()

    shown = page.get(f"/schedules/{schedule.id}").text

    assert "https://example.org/?token=[redacted]" in shown
    assert "not-for-eyes" not in shown


def test_a_schedule_that_is_changed_by_a_form_keeps_what_the_form_does_not_draw(page, somebody, session, now):
    kept = {"callback_url": "https://example.org/?token=hidden", "ordering_key": "eu", "concurrency_key": "crm"}
    task = {"type": "reverse_string", "payload": "hello", "name": "old", **kept}
    schedule = create_schedule(session, now=now, owner_id=somebody.id, target={"task": task})
    session.commit()
    form = {"kind": "cron", "cron": "30 7 * * 1-5", "time_zone": "UTC", "payload": "bye", "name": ""}

    assert send(page, f"/schedules/{schedule.id}/edit", **form).status_code == 302
    target = session.scalar(sa.text("SELECT target FROM schedules"))
    assert target == {"task": {"type": "reverse_string", "payload": "bye", **kept}}


@pytest.mark.parametrize("back", ["https://evil.example/", "/tasks?q=a\r\nSet-Cookie: a=b", "/tasks/../audit"])
def test_what_is_done_to_selected_tasks_leads_back_to_the_list_only(page, back):
    answer = send(page, "/tasks/selected", action="cancel", back=back)

    assert (answer.status_code, answer.location) == (302, "/tasks")


def test_dead_letters_of_a_moment_before_all_time_are_none(page):
    sent = {"failed_before": "0001-01-01T00:00:00+23:59"}

    assert send(page, "/dead-letters/replay", **sent).status_code == 422


def test_a_queue_that_cannot_be_is_not_paused(boss):
    assert send(boss, "/queues/queues/a%00b/pause").status_code == 404


def test_dead_letters_are_started_over_as_they_were_counted(page, somebody, store, session, now):
    old = [failed(store, now=now - seconds(600), owner_id=somebody.id) for _ in range(3)]
    preview = page.get("/dead-letters/replay?type=reverse_string&fingerprint=" + "0" * 16).text
    before = re.search(r'name="failed_before" value="([^"]+)"', preview).group(1)
    assert "Start over 3 dead letters?" in preview
    later = failed(store, now=now + seconds(60), owner_id=somebody.id)

    send(page, "/dead-letters/replay", failed_before=before, type="reverse_string", fingerprint="0" * 16)
    statuses = dict(session.execute(sa.text("SELECT id, status FROM tasks")).all())
    assert [statuses[task.id] for task in old] == ["PENDING"] * 3
    assert statuses[later.id] == "FAILED"


def test_a_new_key_is_shown_once_and_works(page, application):
    answer = send(page, "/account/keys", name="import", scope="tasks:read", days="30")
    key = re.search(r'data-copy="(tl_[^"]+)"', answer.text).group(1)

    assert key not in page.get("/account").text
    headers = {"Authorization": f"Bearer {key}"}
    assert application.test_client().get("/api/v1/tasks", headers=headers).status_code == 200
    assert application.test_client().post("/api/v1/tasks", headers=headers, json={}).status_code == 403


def test_the_page_of_a_new_key_that_is_reloaded_makes_no_other(page, session):
    once = re.search(r'name="key" value="([^"]+)"', page.get("/account").text).group(1)
    form = {"name": "import", "scope": "tasks:read", "days": "30", "key": once}

    first, again = send(page, "/account/keys", **form), send(page, "/account/keys", **form)

    assert "This is the new key" in first.text
    assert "This form was sent before" in again.text
    assert session.scalar(sa.text("SELECT count(*) FROM api_keys WHERE name = 'import'")) == 1


def test_a_key_is_limited_to_types_and_queues_by_the_form(page, session):
    answer = send(page, "/account/keys", name="import", scope="tasks:write", allowed_types="reverse_string, send_email")

    assert "types: reverse_string, send_email" in answer.text
    row = session.execute(sa.text("SELECT allowed_types, allowed_queues FROM api_keys WHERE name = 'import'")).one()
    assert tuple(row) == (["reverse_string", "send_email"], None)
    wrong = send(page, "/account/keys", name="other", scope="tasks:write", allowed_queues="No Queue!")
    assert wrong.status_code == 422
    assert "is no name of a queue" in wrong.text


def test_an_admin_sets_quotas_and_rights_by_the_form_and_what_is_not_touched_stays(boss, somebody, session):
    session.execute(sa.text("UPDATE users SET allowed_queues = '{tasks}' WHERE id = :id"), {"id": somebody.id})
    session.commit()
    shown = boss.get(f"/accounts/{somebody.id}").text
    assert 'name="allowed_queues" value="tasks"' in shown

    fields = {"name": "Ada", "role": "user", "max_waiting_tasks": "", "max_stored_bytes": "5000"}
    lists = {"allowed_types": "-", "allowed_queues": "tasks", "may_reach_outside": "no"}
    answer = send(boss, f"/accounts/{somebody.id}", **fields, **lists)

    assert answer.status_code == 302
    names = "max_waiting_tasks, max_stored_bytes, allowed_types, allowed_queues, may_reach_outside"
    read = sa.text(f"SELECT {names} FROM users WHERE id = :id")
    assert tuple(session.execute(read, {"id": somebody.id}).one()) == (None, 5000, [], ["tasks"], False)
    session.rollback()
    send(boss, f"/accounts/{somebody.id}", name="Renamed", role="user")  # a form without these fields
    assert tuple(session.execute(read, {"id": somebody.id}).one()) == (None, 5000, [], ["tasks"], False)


def test_the_page_of_an_account_tells_what_it_may_use(page, somebody, session):
    session.execute(
        sa.text("UPDATE users SET may_reach_outside = false, max_waiting_tasks = 7 WHERE id = :id"), {"id": somebody.id}
    )
    session.commit()

    told = page.get("/account").text

    assert "0 of 7" in told
    assert "not until an admin allows it" in told
    refused = send(page, "/submit/send_email", **{"payload.to": "a@example.org"})
    assert refused.status_code in (403, 422)


def test_a_user_cannot_make_an_admins_key(page):
    assert send(page, "/account/keys", name="x", scope="admin").status_code == 422


def test_a_page_that_does_not_exist_is_a_page_for_people_and_a_problem_for_programs(anonymous):
    person = anonymous.get("/nothing", headers={"Accept": "text/html,application/xhtml+xml"})
    program = anonymous.get("/nothing")

    assert (person.status_code, person.mimetype) == (404, "text/html")
    assert (program.status_code, program.mimetype) == (404, "application/problem+json")
    assert anonymous.get("/api/v1/nothing", headers={"Accept": "text/html"}).mimetype == "application/problem+json"


def test_a_database_that_is_away_is_told_on_a_page(page, monkeypatch):
    from app.dashboard import task_list

    def away(*_, **__):
        raise sa.exc.OperationalError("SELECT secret", {}, Exception("connection refused"))

    monkeypatch.setattr(task_list, "search", away)
    answer = page.get("/tasks")

    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert "secret" not in answer.text


def test_a_user_sees_numbers_of_their_own_tasks_only(page, boss, somebody, store, now, database_url):
    store(now=now, owner_id=somebody.id)
    for _ in range(4):
        store(now=now, owner_id=make_person(database_url).id)

    def pending(client):
        return re.search(r'Pending</span><span class="tile-value">(\d+)', client.get("/").text).group(1)

    assert (pending(page), pending(boss)) == ("1", "5")


def test_viewers_share_what_was_looked_up_a_moment_ago_until_something_changes(boss, monkeypatch):
    looked = []
    monkeypatch.setattr(overview.sinks, "statuses", lambda *_, **__: looked.append(1) or [])

    for _ in range(3):
        assert boss.get("/").status_code == 200
    assert len(looked) == 1

    overview.forget()
    boss.get("/")
    assert len(looked) == 2


@pytest.mark.parametrize("path", ["/submit", "/schedules/new"])
def test_no_form_offers_a_type_that_only_the_service_submits(page, path):
    shown = page.get(path).text

    assert ">reverse_string<" in shown
    assert not [kind.name for kind in known_types().values() if kind.internal and f">{kind.name}<" in shown]


def test_a_history_tells_its_days_and_its_zone(page, session, somebody):
    task = make_task(session, owner_id=somebody.id, now=NOON, status="SCHEDULED", scheduled_at=NOON + timedelta(days=2))
    session.execute(sa.text("UPDATE task_events SET at = :at"), {"at": NOON})
    session.execute(sa.text("UPDATE tasks SET status = 'PENDING' WHERE id = :id"), {"id": task.id})
    session.commit()

    shown = page.get(f"/tasks/{task.id}").text
    timeline = shown[shown.index('id="timeline"') : shown.index("</ol>")]

    assert ">UTC<" in timeline
    assert ">2026-03-02 12:00:00.000<" in timeline
    assert len(re.findall(r">\d{4}-\d\d-\d\d \d\d:", timeline)) == 2


def test_what_an_account_may_use_is_told_in_numbers_that_can_be_read(page, session, somebody):
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1000000, max_stored_bytes = 10737418240"))
    session.commit()

    shown = page.get("/account").text

    assert "0 of 1,000,000" in shown
    assert "0 B of 10.7 GB" in shown
