"""What a new release would break: found among tasks, schedules, triggers, workflows and runs, before it is deployed."""

import json
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.errors import Conflict
from app.models import Status, Trigger, new_id
from app.services import releases, workflows
from app.services.encryption import ciphertexts
from app.services.releases import Finding, Kind, NewRelease, Problem, Report, new_type, stored_tasks
from app.services.workflows import NewRun
from tests.support.factories import NOON, bring_to, create_schedule, make_claim, make_task
from tests.support.runs import create_workflow, end, step

OLD = "aaaaaaaaaaaa"
RESIZE = {
    "type": "object",
    "properties": {"size": {"enum": ["s", "m"]}, "note": {"type": "string"}},
    "required": ["size"],
    "additionalProperties": False,
}
WITHOUT_NOTE = {**RESIZE, "properties": {"size": {"enum": ["s", "m", "xl"]}}}


def check(session, types: dict[str, Any], *, only=(), keys=(), upgrade=()) -> Report:
    """Of a release with these schemas."""
    made = {name: new_type(schema, upgrade=upgrade) for name, schema in types.items()}
    return releases.check(session, NewRelease(types=made, only=tuple(only)), payload_keys=keys, now=NOON)


def told(report: Report) -> list[tuple[Kind, Problem, str, int]]:
    return [(each.kind, each.problem, each.type, each.count) for each in report.findings]


def only_finding(report: Report) -> Finding:
    [finding] = report.findings
    return finding


def task(session, payload: Any, *, type_: str = "acme.resize", schema_hash: str | None = OLD, **columns: Any):
    return make_task(session, type=type_, payload=payload, schema_hash=schema_hash, **columns)


def test_a_field_that_the_release_drops_is_found(session):
    task(session, {"size": "s"})
    refused = task(session, {"size": "s", "note": "please"})

    finding = only_finding(check(session, {"acme.resize": WITHOUT_NOTE}))

    assert (finding.kind, finding.problem, finding.count) == (Kind.TASK, Problem.REFUSED, 1)
    assert (finding.schema_hash, finding.is_estimate) == (OLD, False)
    assert [sample.id for sample in finding.samples] == [str(refused.id)]
    [path] = finding.paths
    assert path.path == "payload"
    assert "'note'" in path.message


def test_a_type_that_the_release_renames_is_found(session):
    one = task(session, {"size": "s"})
    task(session, {"size": "m"})

    finding = only_finding(check(session, {"acme.scale": RESIZE}))

    assert (finding.problem, finding.type, finding.count) == (Problem.GONE, "acme.resize", 2)
    assert [sample.id for sample in finding.samples] == [str(one.id)]


def test_an_enum_that_the_release_narrows_is_found_and_no_value_is_told(session):
    task(session, {"size": "m"})
    task(session, {"size": "a-secret"})

    report = check(session, {"acme.resize": RESIZE})

    [path] = only_finding(report).paths
    assert (path.path, path.count) == ("payload.size", 1)
    assert '"s" or "m"' in path.message
    assert "a-secret" not in repr(report)


def test_a_release_that_changes_nothing_reads_no_payload(session):
    task(session, {"would": "be refused"}, schema_hash=new_type(RESIZE).schema_hash)

    report = check(session, {"acme.resize": RESIZE})

    assert (report.clean, report.unchanged, report.checked["task"]) == (True, 1, 0)


def test_what_it_upgrades_is_told_and_not_found(session):
    task(session, {"size": "xl"})

    report = check(session, {"acme.resize": RESIZE}, upgrade=[OLD])

    assert report.clean
    assert [(each.type, each.schema_hash, each.count) for each in report.upgraded] == [("acme.resize", OLD, 1)]


def test_all_that_is_unfinished_is_looked_at_and_nothing_else(session):
    bad = {"size": "xl"}
    task(session, bad, schema_hash=None)
    make_claim(session, type="acme.resize", payload=bad)
    for status in (Status.SCHEDULED, Status.RETRYING, Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        bring_to(session, status, task(session, bad).id)

    report = check(session, {"acme.resize": RESIZE})

    assert sum(each.count for each in report.findings) == 4
    assert {each.schema_hash for each in report.findings} == {None, OLD}


def test_of_very_many_a_sample_is_read_and_the_report_says_so(session, monkeypatch):
    monkeypatch.setattr(stored_tasks, "MAX_OF_A_TYPE", 50)
    for number in range(400):
        task(session, {"size": "xl" if number % 2 else "s"})

    report = check(session, {"acme.resize": RESIZE})

    [sampled] = report.sampled
    assert sampled.of == 400
    assert 10 < sampled.checked < 110
    finding = only_finding(report)
    assert finding.is_estimate
    assert 80 < finding.count < 320


def test_encrypted_payloads_are_looked_at_and_those_without_a_key_are_counted(session):
    keys = ciphertexts.keys("A" * 43)
    others = ciphertexts.keys("B" * 43)
    for using, size in ((keys, "xl"), (keys, "s"), (others, "xl")):
        task_id = new_id()
        payload = ciphertexts.encrypted({"size": size}, task_id, "payload", keys=using)
        task(session, payload, id=task_id)

    report = check(session, {"acme.resize": RESIZE}, keys=keys)

    assert only_finding(report).count == 1
    assert report.unreadable == {"acme.resize": 1}


def test_a_release_speaks_for_the_types_that_it_names_only(session):
    task(session, {"size": "xl"})
    task(session, {}, type_="acme.gone")
    task(session, {}, type_="other.team")

    assert told(check(session, {"acme.resize": RESIZE}, only=["acme.*"])) == [
        (Kind.TASK, Problem.GONE, "acme.gone", 1),
        (Kind.TASK, Problem.REFUSED, "acme.resize", 1),
    ]
    assert {each.type for each in check(session, {"acme.resize": RESIZE}).findings} == {
        "acme.gone", "acme.resize", "other.team",
    }  # fmt: skip


def test_the_services_own_types_stay_unless_the_release_brings_one_of_them(session):
    make_task(session, type="reverse_string")
    make_task(session, type="send_email", payload={})

    assert check(session, {"acme.resize": RESIZE}).clean
    assert told(check(session, {"reverse_string": {"type": "string"}})) == [(Kind.TASK, Problem.GONE, "send_email", 1)]


def test_schedules_are_found_also_while_they_are_off(session):
    bad = {"task": {"type": "acme.resize", "payload": {"size": "xl"}}}
    on = create_schedule(session, target=bad, name="nightly", schema_hash=OLD)
    off = create_schedule(session, target=bad, enabled=False)
    create_schedule(session, target=bad, declared="in the code, and comes with it")
    create_schedule(session, target=bad, schema_hash=new_type(RESIZE).schema_hash)
    create_schedule(session, target={"task": {"type": "acme.resize", "payload": {"size": "s"}}})
    gone = create_schedule(session, target={"task": {"type": "acme.gone", "payload": None}})

    report = check(session, {"acme.resize": RESIZE})

    refused = [each for each in report.findings if each.problem is Problem.REFUSED]
    assert {sample.id for each in refused for sample in each.samples} == {str(on.id), str(off.id)}
    assert {path.path for each in refused for path in each.paths} == {"task.payload.size"}
    [missing] = [each for each in report.findings if each.problem is Problem.GONE]
    assert (missing.kind, missing.type, missing.samples[0].id) == (Kind.SCHEDULE, "acme.gone", str(gone.id))


def test_triggers_are_found_by_what_no_event_can_mend(session):
    def trigger(payload, **columns):
        target = {"task": {"type": "acme.resize", "payload": payload}}
        row = {"id": new_id(), "event": "image.uploaded", "target": target, "schema_hash": OLD, "enabled": False}
        session.execute(sa.insert(Trigger.__table__).values(**row | columns, created_at=NOON, updated_at=NOON))
        return row["id"]

    refused = trigger({"size": {"$from": "event.data.size"}, "colour": "red"}, name="thumbnails")
    trigger({"size": {"$from": "event.data.size"}})
    trigger({"colour": "red"}, schema_hash=new_type(RESIZE).schema_hash)
    trigger({}, target={"workflow": {"name": "resize", "input": {}}})

    finding = only_finding(check(session, {"acme.resize": RESIZE}))

    assert (finding.kind, finding.problem, finding.count) == (Kind.TRIGGER, Problem.REFUSED, 1)
    assert (finding.samples[0].id, finding.samples[0].name) == (str(refused), "thumbnails")
    assert finding.paths[0].path.startswith("task.payload")


SHORT = {"reverse_string": {"type": "string", "maxLength": 3}}


def test_workflows_are_found_by_what_their_steps_say(session):
    owner = uuid4()
    create_workflow(session, {"a": step(payload="too long"), "b": step("a")}, name="long", owner_id=owner)
    create_workflow(session, {"a": step(payload={"$from": "input.text"})}, name="open", owner_id=owner)

    finding = only_finding(check(session, SHORT, only=["reverse_string"]))

    assert (finding.kind, finding.count, finding.samples[0].name) == (Kind.WORKFLOW, 1, "long")
    assert [path.path for path in finding.paths] == ["steps.a.payload"]


def test_a_workflow_that_needs_a_type_that_is_gone_is_found(session):
    create_workflow(session, {"a": step()}, owner_id=uuid4())

    finding = only_finding(check(session, {"send_email": True}, only=["reverse_string", "send_email"]))

    assert (finding.kind, finding.problem, finding.samples[0].path) == (Kind.WORKFLOW, Problem.GONE, "steps.a")


def test_waiting_runs_are_found_by_their_input(session):
    steps = {"a": step(), "b": step("a", payload={"$from": "input.text"})}
    flow = create_workflow(session, steps, owner_id=uuid4())
    runs = [
        workflows.start(session, flow, NewRun(input={"text": text}), owner_id=None, now=NOON)
        for text in ("too long", "ok")
    ]
    session.execute(sa.text("UPDATE tasks SET schema_hash = NULL, payload = '\"abc\"'"))

    finding = only_finding(check(session, SHORT, only=["reverse_string"]))

    assert (finding.kind, finding.count, finding.samples[0].id) == (Kind.RUN, 1, str(runs[0].id))
    assert [path.path for path in finding.paths] == ["steps.b.payload"]


def test_steps_that_have_ended_concern_no_release(session):
    flow = create_workflow(session, {"a": step(payload="too long"), "b": step("a")}, owner_id=uuid4())
    run = workflows.start(session, flow, NewRun(input={}), owner_id=None, now=NOON)
    session.commit()
    end(session, run.id, "a")
    workflows.set_active(session, flow.name, False, caller=workflows.Caller(owner_id=flow.owner_id), now=NOON)

    assert check(session, SHORT, only=["reverse_string"]).clean


def test_a_second_check_at_the_same_time_is_refused(session, engine):
    with engine.connect() as other:
        other.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('taskledger.release_check'))"))

        with pytest.raises(Conflict, match="Another release check"):
            check(session, {})


def test_what_is_found_stays_a_page(session):
    for number in range(600):
        task(session, {}, type_=f"acme.t{number}")

    report = check(session, {"acme.resize": RESIZE})

    assert (len(report.findings), report.left_out) == (500, 100)
    assert len(json.dumps([each.type for each in report.findings])) < 20_000
