"""Workflows and runs on pages: drawn, started, changed, and told apart."""

import re

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.services import workflows
from app.services.recovery.failures import Failure
from app.services.tasks.outcomes import Failed
from tests.integration.dashboard.conftest import send
from tests.support.factories import bring_to, create_schedule, make_task
from tests.support.runs import create_workflow, end, step, task_of

STEPS = {"first": step(), "left": step("first"), "right": step("first"), "last": step("left", "right")}


@pytest.fixture
def workflow(session, somebody):
    made = create_workflow(session, STEPS, owner_id=somebody.id, input={"words": {"type": "string"}})
    session.commit()
    return made


@pytest.fixture
def run(session, workflow, somebody):
    new = workflows.NewRun(input={"words": "a"})
    started = workflows.start(session, workflow, new, owner_id=somebody.id, now=utcnow())
    session.commit()
    return started


def test_the_steps_of_a_run_are_drawn_with_their_states_and_lead_to_their_tasks(page, run, session):
    text = page.get(f"/runs/{run.id}").text

    drawn = text[text.index("<svg") : text.index("</svg>")]
    task_id = session.execute(sa.text("SELECT task_id FROM workflow_steps WHERE key = 'first'")).scalar_one()
    assert re.findall(r'class="node (node-[a-z]+)"', drawn) == ["node-started"] + ["node-waiting"] * 3
    assert drawn.count('class="edge"') == 4
    assert f'href="/tasks/{task_id}"' in drawn
    assert f'href="/runs/{run.id}"' in page.get(f"/tasks/{task_id}").text


def test_secrets_of_a_workflow_and_of_its_runs_are_shown_on_no_page(page, session, somebody):
    create_workflow(session, STEPS, name="below", owner_id=somebody.id)
    payload = {"url": "https://example.org/?token=hidden-1", "headers": {"Authorization": "Bearer hidden-2"}}
    secret = {"type": "string", "required": False, "default": "hidden-3"}
    steps = {
        "call": {"type": "http_request", "payload": payload},
        "each": {"for_each": [{"password": "hidden-4"}], "type": "reverse_string", "payload": "x"},
        "below": {"workflow": "below", "input": {"password": "hidden-5"}},
    }
    made = create_workflow(session, steps, name="secretive", owner_id=somebody.id, input={"api_key": secret})
    new = workflows.NewRun(input={"api_key": "hidden-6"})
    run = workflows.start(session, made, new, owner_id=somebody.id, now=utcnow())
    session.commit()

    below = session.execute(sa.text("SELECT task_id FROM workflow_steps WHERE key = 'below'")).scalar_one()

    for path in ("/workflows/secretive", f"/runs/{run.id}", f"/tasks/{below}"):
        shown = page.get(path).text
        assert "[redacted]" in shown
        assert re.findall(r"hidden-\d", shown) == []


def test_a_failed_step_of_a_run_offers_nothing_that_only_its_run_can_do(page, run, session):
    task = task_of(session, run.id, "first")
    end(
        session,
        run.id,
        "first",
        Failed(failure=Failure(type="LookupError", message="no city"), reason="no retries are left"),
        now=utcnow(),
    )

    shown = page.get(f"/tasks/{task.id}").text
    asked = page.get(f"/tasks/{task.id}/retry").text
    counted = page.get("/dead-letters/replay").text

    assert f"/tasks/{task.id}/retry" not in shown
    assert f"/tasks/{task.id}/delete" not in shown
    assert f'/runs/{run.id}">a run</a>, and goes with that only' in asked
    assert "Start over 0 dead letters?" in counted
    assert "1 more is left alone" in counted
    assert str(task.id) not in counted


def test_a_task_that_will_be_tried_again_offers_no_start_that_would_be_refused(page, somebody, session):
    task = make_task(session, owner_id=somebody.id)
    bring_to(session, "RETRYING", task.id)
    session.commit()

    assert f"/tasks/{task.id}/retry" not in page.get(f"/tasks/{task.id}").text


def test_a_run_is_started_with_an_input_as_json(page, workflow):
    example = page.get("/workflows/flow").text

    answer = send(page, "/workflows/flow/runs", input='{"words": "hello"}')

    assert "&#34;words&#34;: &#34;&#34;" in example
    assert "hello" in page.get(answer.location).text


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "The input is not JSON"), ("[]", "input: must be an object"), ("{}", "words"), ('{"words": 1}', "words")],
)
def test_an_input_that_is_refused_is_shown_again_with_the_reason(text, why, page, workflow, session):
    answer = send(page, "/workflows/flow/runs", input=text)

    assert answer.status_code == 422
    assert why in answer.text[answer.text.index('role="alert"') :]
    assert session.execute(sa.text("SELECT count(*) FROM workflow_runs")).scalar_one() == 0


def test_a_run_is_paused_resumed_cancelled_and_retried_from_its_page(page, run):
    statuses = []
    for action in ("pause", "resume", "cancel", "retry"):
        assert f"/runs/{run.id}/{action}" in page.get(f"/runs/{run.id}").text
        send(page, f"/runs/{run.id}/{action}")
        statuses.append(re.search(r'class="status [a-z-]+">([A-Z][a-z ]+)<', page.get(f"/runs/{run.id}").text).group(1))

    assert statuses == ["Paused", "Running", "Cancelled", "Running"]
    assert send(page, f"/runs/{run.id}/retry").status_code == 409


def test_running_a_schedule_of_a_workflow_leads_to_its_run(page, workflow, somebody, session):
    target = {"workflow": {"name": "flow", "input": {"words": "hello"}}}
    schedule = create_schedule(session, owner_id=somebody.id, target=target)
    session.commit()

    answer = send(page, f"/schedules/{schedule.id}/run")

    assert page.get(answer.location).status_code == 200


def test_a_workflow_that_is_inactive_starts_no_run(page, workflow):
    send(page, "/workflows/flow/deactivate")

    assert "Inactive" in page.get("/workflows/flow").text
    assert send(page, "/workflows/flow/runs", input='{"words": "a"}').status_code == 409


def test_runs_are_listed_by_workflow_and_status(page, run):
    assert str(run.id) in page.get("/runs?workflow=flow&status=RUNNING").text
    assert str(run.id) not in page.get("/runs?status=FAILED").text
    assert str(run.id) not in page.get("/runs?workflow=other").text


def test_an_older_version_is_shown_as_one(page, workflow, session, somebody):
    workflows.change(
        session, "flow", definition={"steps": {"only": step()}},
        caller=workflows.Caller(owner_id=somebody.id, sees_all=False), now=utcnow(),
    )  # fmt: skip
    session.commit()

    assert "of 2: an older one" in page.get("/workflows/flow?version=1").text
    assert "an older one" not in page.get("/workflows/flow").text
