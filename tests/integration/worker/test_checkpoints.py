"""Checkpoints of attempts: fenced, with the outcome, forgotten with it, encrypted where the type is sensitive."""

import base64
from dataclasses import replace
from uuid import uuid4

import sqlalchemy as sa

from app import clock
from app.config import get_settings
from app.models import Status
from app.services import lifecycle
from app.services.encryption import ciphertexts, rotation
from app.services.lifecycle import Holder
from app.services.tasks import checkpoints, outcomes, replay
from app.services.tasks.outcomes import GivenBack
from app.services.tasks.replay import Edited
from app.worker import checkpoints as worker_checkpoints
from app.worker import heartbeat
from app.worker.checkpoints import PAUSE_SECONDS
from taskledger_sdk.errors import PermanentError
from tests.support.factories import make_claim, make_task, read_task

KEY, NEWER = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"n"))


def kept(session, task) -> object:
    session.rollback()
    found = checkpoints.read(session, task.id)
    return None if found is None else found.value


def test_the_next_attempt_begins_with_what_the_last_one_kept(session, run):
    seen = []

    def handler(task):
        seen.append(task.last_checkpoint)
        task.checkpoint({"page": len(seen)})
        if len(seen) < 3:
            raise LookupError("not yet")
        return task.last_checkpoint

    task = run(handler)
    task = run(again=task)
    task = run(again=task)

    assert seen == [None, {"page": 1}, {"page": 2}]
    assert (task.status, task.result) == (Status.COMPLETED, {"page": 3})


def test_what_was_kept_a_moment_before_a_failure_is_written_with_it(session, run):
    def handler(task):
        for page in range(100):
            task.checkpoint(page)
        raise LookupError("no")

    task = run(handler)

    assert task.status == Status.RETRYING
    assert kept(session, task) == 99


def test_a_completed_task_keeps_none(session, run):
    task = run(lambda task: task.checkpoint("half"))

    assert task.status == Status.COMPLETED
    assert kept(session, task) is None


def test_a_dead_letter_goes_on_from_its_checkpoint_unless_its_payload_is_another(session, run):
    def handler(task):
        task.checkpoint([1, 2])
        raise PermanentError("the relay is down")

    task = run(handler)
    assert task.status == Status.FAILED

    replay.replay(session, task.id, owner=None, now=clock.utcnow())
    assert checkpoints.read(session, task.id).value == [1, 2]
    session.rollback()
    replay.replay(session, task.id, owner=None, now=clock.utcnow(), edited=Edited(payload="another"))
    assert checkpoints.read(session, task.id) is None


def test_an_attempt_that_lost_its_lease_keeps_nothing(session):
    held = make_claim(session)
    stale = replace_lease(held)

    assert checkpoints.write(session, [(stale, "1")], waits=True) == set()
    assert checkpoints.write(session, [(held, "2")], waits=True) == {held.id}
    assert checkpoints.read(session, held.id).value == 2


def replace_lease(held):
    from msgspec.structs import replace as struct_replace

    return struct_replace(held, lease=uuid4())


def test_a_task_is_given_back_together_with_its_checkpoint(session):
    held = make_claim(session)

    outcomes.record(session, [(held, GivenBack(reason="given back", checkpoint='{"page": 7}'))], now=clock.utcnow())

    row = read_task(session, held.id)
    assert (row.status, row.attempt) == (Status.PENDING, 0)
    assert checkpoints.read(session, held.id).value == {"page": 7}


def test_a_stale_worker_that_gives_back_writes_no_checkpoint(session):
    held = make_claim(session)
    stale = replace_lease(held)

    recorded = outcomes.record(session, [(stale, GivenBack(reason="late", checkpoint="7"))], now=clock.utcnow())

    assert recorded == {}
    assert checkpoints.read(session, held.id) is None


def test_a_deleted_task_takes_its_checkpoint_along(session):
    held = make_claim(session)
    checkpoints.write(session, [(held, "1")], waits=True)

    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": held.id})

    assert session.scalar(sa.text("SELECT count(*) FROM task_steps WHERE task_id = :id"), {"id": held.id}) == 0


def test_an_attempt_that_is_interrupted_again_and_again_goes_on_while_it_gets_further(session):
    task = make_task(session)
    for number in range(lifecycle.MAX_INTERRUPTIONS + 5):
        session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": task.id})
        [held] = lifecycle.claim(
            session,
            task.type,
            [task.id],
            holder=Holder(worker="worker-a/1", pid=1),
            lease_seconds=60,
            now=clock.utcnow(),
        )
        outcome = GivenBack(
            reason="given back with its checkpoint: its worker is shutting down", checkpoint=str(number)
        )
        assert outcomes.record(session, [(held, outcome)], now=clock.utcnow()) == {task.id: outcome}

    assert read_task(session, task.id).attempt == 0


def test_the_heartbeat_writes_what_came_within_the_pause(session, run, monkeypatch):
    def handler(task):
        task.checkpoint("first")
        task.checkpoint("second")
        steady = worker_checkpoints.time.monotonic
        monkeypatch.setattr(worker_checkpoints.time, "monotonic", lambda: steady() + PAUSE_SECONDS)
        heartbeat.HEARTBEAT._engine = heartbeat.HEARTBEAT._engine or heartbeat._short_waits()
        heartbeat.HEARTBEAT._write_down()
        return kept(session, task)

    assert run(handler).result == "second"


def test_checkpoints_of_sensitive_types_are_encrypted_and_move_to_a_newer_key(session, run, declared, monkeypatch):
    both = replace(get_settings(), payload_keys=KEY)
    monkeypatch.setattr("app.worker.payload_keys.get_settings", lambda: both)
    seen = []

    def handler(task):
        seen.append(task.last_checkpoint)
        task.checkpoint({"card": "4111-1111"})
        if len(seen) == 1:
            raise LookupError("no")

    declared(handler, sensitive=True)
    task = run()
    stored = session.scalar(sa.text("SELECT result::text FROM task_steps WHERE task_id = :id"), {"id": task.id})
    assert "4111-1111" not in stored
    keys = ciphertexts.keys(f"{NEWER},{KEY}")

    def transact(work):
        made = work(session)
        session.commit()
        return made

    tallies = {each.place: each.moved for each in rotation.examine(keys, transact, move=True)}

    assert tallies["checkpoints of tasks"] == 1
    both = replace(get_settings(), payload_keys=f"{NEWER}")
    run(again=task)
    assert seen == [None, {"card": "4111-1111"}]
