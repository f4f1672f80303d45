"""Moving encrypted values to the newest key beside processes that work: nothing is overwritten, nobody is told."""

import base64
import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.database import in_transaction, to_json
from app.models import Status, new_id
from app.services import lifecycle
from app.services.encryption import ciphertexts, rotation
from tests.support.factories import HOLDER, NOON, make_task, read_task

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
BOTH = ciphertexts.keys(f"{NEW},{OLD}")
OLD_KEYS, NEW_KEYS = ciphertexts.keys(OLD), ciphertexts.keys(NEW)
OLD_NAME = OLD_KEYS[0].name
GONE_TYPE = "a_type_that_is_gone"
PAYLOAD = {"number": "4111", "euro": "€", "amount": 12345678901234567890.5}


@pytest.fixture
def encrypted_task(session):
    """Puts a task with an encrypted payload into the table."""

    def stored(keys=OLD_KEYS, **columns):
        task_id = new_id()
        payload = ciphertexts.encrypted(PAYLOAD, task_id, "payload", keys=keys)
        task = make_task(session, **{"id": task_id, "type": GONE_TYPE, "payload": payload} | columns)
        session.commit()
        return task.id

    return stored


def move(**options):
    return {each.place: each for each in rotation.examine(BOTH, in_transaction, move=True, **options)}


def payload(session, task_id, keys=NEW_KEYS):
    session.rollback()
    return ciphertexts.decrypted(read_task(session, task_id).payload, task_id, "payload", keys=keys)


ENDED = {"attempt": 1, "started_at": NOON, "finished_at": NOON, "due_at": None}
STATES = {
    Status.PENDING: {},
    Status.SCHEDULED: {"dispatched_at": None, "scheduled_at": NOON},
    Status.PROCESSING: {"attempt": 1, "started_at": NOON, "lease": uuid4(), "leased_by": "worker"},
    Status.COMPLETED: ENDED,
    Status.FAILED: ENDED | {"error": {"type": "E", "message": "m"}},
    Status.CANCELLED: ENDED | {"cancel_receipt": "stopped"},
}


def test_tasks_are_moved_in_every_status_and_no_event_is_made(session, encrypted_task):
    ids = {status: encrypted_task(status=status, **columns) for status, columns in STATES.items()}
    events = session.scalar(sa.text("SELECT count(*) FROM task_events"))
    told = session.scalar(sa.text("SELECT count(*) FROM event_outbox"))
    kept = "SELECT id, status, due_at, dispatched_at, lease, finished_at, attempt, result FROM tasks ORDER BY id"
    before = session.execute(sa.text(kept)).all()
    session.rollback()

    moved = move()["payloads of tasks"]

    assert (moved.moved, moved.old) == (len(STATES), {OLD_NAME: len(STATES)})
    assert [payload(session, task_id) for task_id in ids.values()] == [PAYLOAD] * len(STATES)
    assert session.execute(sa.text(kept)).all() == before
    assert session.scalar(sa.text("SELECT count(*) FROM task_events")) == events
    assert session.scalar(sa.text("SELECT count(*) FROM event_outbox")) == told


def test_what_was_moved_is_not_found_again(session, encrypted_task):
    for _ in range(5):
        encrypted_task()
    before = [move(batch=2)["payloads of tasks"], move(batch=2)["payloads of tasks"]]

    assert [(each.moved, each.old.total()) for each in before] == [(5, 5), (0, 0)]


def test_who_is_interrupted_goes_on_where_it_was(session, encrypted_task):
    for _ in range(5):
        encrypted_task()

    class Interrupted(Exception):
        pass

    def interrupt(tally):
        if tally.moved >= 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        move(batch=2, tell=interrupt)

    assert move(batch=2)["payloads of tasks"].moved == 3


def test_more_rows_than_one_look_takes_are_all_met(session, encrypted_task, monkeypatch):
    monkeypatch.setattr(rotation, "ROWS_A_LOOK", 3)
    ids = [encrypted_task(**({"payload": "plain"} if number % 2 else {})) for number in range(11)]

    moved = move(batch=1)["payloads of tasks"]

    assert (moved.looked_at, moved.moved) == (11, 6)
    assert [payload(session, task_id) for task_id in ids[::2]] == [PAYLOAD] * 6


def test_a_payload_that_somebody_changed_meanwhile_stays_theirs(session, encrypted_task, engine):
    task_id = encrypted_task()
    theirs = ciphertexts.encrypted({"number": "changed"}, task_id, "payload", keys=OLD_KEYS)
    write, is_first = rotation._write, [True]

    def change_first(own, place, found):
        if is_first.pop() if is_first else False:
            with engine.begin() as connection:
                connection.execute(
                    sa.text("UPDATE tasks SET payload = CAST(:p AS jsonb) WHERE id = :id"),
                    {"p": to_json(theirs), "id": task_id},
                )
        return write(own, place, found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation, "_write", change_first)
        first = move()["payloads of tasks"]

    assert (first.moved, first.passed_over) == (0, 1)
    assert payload(session, task_id, OLD_KEYS) == {"number": "changed"}
    assert move()["payloads of tasks"].moved == 1
    assert payload(session, task_id) == {"number": "changed"}


def test_a_row_that_somebody_holds_is_passed_over_and_not_waited_for(session, encrypted_task, engine):
    held, free = encrypted_task(), encrypted_task()
    with engine.connect() as other:
        other.execute(sa.text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": held})
        done = []
        mover = threading.Thread(target=lambda: done.append(move()["payloads of tasks"]), daemon=True)
        mover.start()
        mover.join(10)
        assert not mover.is_alive()
        other.rollback()

    assert (done[0].moved, done[0].passed_over) == (1, 1)
    assert payload(session, free) == PAYLOAD
    assert payload(session, held, OLD_KEYS) == PAYLOAD


def test_a_claim_and_its_outcome_go_on_beside_it(session, encrypted_task):
    task_id = encrypted_task(type="reverse_string")
    [claim] = lifecycle.claim(session, "reverse_string", [task_id], holder=HOLDER, lease_seconds=60, now=NOON)
    session.commit()

    assert move()["payloads of tasks"].moved == 1

    assert lifecycle.held_under(session, claim.lease, [task_id], lease_seconds=60)[0].id == task_id


def test_results_and_what_the_history_keeps_are_moved(session, encrypted_task):
    task_id = new_id()
    result = ciphertexts.encrypted([1, 2], task_id, "result", keys=OLD_KEYS)
    encrypted_task(id=task_id, status=Status.COMPLETED, result=result, payload="plain", **ENDED)
    edited_id = encrypted_task(status=Status.FAILED, **STATES[Status.FAILED])
    fresh = ciphertexts.encrypted({"number": "edited"}, edited_id, "payload", keys=NEW_KEYS)
    lifecycle.replay(session, [edited_id], now=NOON, payload=to_json(fresh))
    session.commit()

    moved = move()

    assert moved["results of tasks"].moved == 1
    assert moved["replaced payloads in the history"].moved == 1
    assert ciphertexts.decrypted(read_task(session, task_id).result, task_id, "result", keys=NEW_KEYS) == [1, 2]
    detail = session.scalar(sa.text("SELECT detail FROM task_events WHERE detail ? 'replaced_payload'"))
    assert ciphertexts.decrypted(detail["replaced_payload"], edited_id, "payload", keys=NEW_KEYS) == PAYLOAD


def test_what_only_looks_encrypted_is_left_alone(session, encrypted_task):
    forged = {"$sealed": {"key": OLD_NAME, "data": "AAAA"}}
    other = {"$sealed": {"key": "ffffffff", "data": "AAAA"}, "more": 1}
    ids = [encrypted_task(type="reverse_string", payload=each) for each in (forged, other, ["$sealed"], "$sealed")]

    found = move()["payloads of tasks"]

    assert (found.old.total(), found.lost.total(), found.damaged, found.moved) == (0, 0, 0, 0)
    session.rollback()
    assert [read_task(session, id_).payload for id_ in ids] == [forged, other, ["$sealed"], "$sealed"]


def test_what_cannot_be_decrypted_is_counted_and_kept(session, encrypted_task):
    elsewhere = ciphertexts.encrypted(PAYLOAD, new_id(), "payload", keys=OLD_KEYS)
    strange = ciphertexts.encrypted(
        PAYLOAD, new_id(), "payload", keys=ciphertexts.keys(base64.b64encode(b"x" * 32).decode())
    )
    ids = [encrypted_task(payload=elsewhere), encrypted_task(payload=strange)]
    well = encrypted_task()

    found = move()["payloads of tasks"]

    assert (found.moved, found.damaged, found.lost.total()) == (1, 1, 1)
    assert payload(session, well) == PAYLOAD
    assert [read_task(session, id_).payload for id_ in ids] == [elsewhere, strange]


def test_a_row_that_the_guard_refuses_costs_the_others_nothing(session, encrypted_task):
    """A result on a row that no worker would write: there since before the guard was."""
    refused_id = new_id()
    result = ciphertexts.encrypted("x", refused_id, "result", keys=OLD_KEYS)
    encrypted_task(id=refused_id, status=Status.PENDING, result=result)
    well = new_id()
    good = ciphertexts.encrypted("y", well, "result", keys=OLD_KEYS)
    encrypted_task(id=well, status=Status.COMPLETED, result=good, **ENDED)

    found = move()["results of tasks"]

    assert (found.moved, found.passed_over) == (1, 1)
    session.rollback()
    assert ciphertexts.decrypted(read_task(session, well).result, well, "result", keys=NEW_KEYS) == "y"


def test_secrets_of_webhooks_in_the_clear_are_encrypted(session):
    owner = uuid4()
    session.execute(
        sa.text(
            "INSERT INTO webhook_secrets (owner_id, secret, previous_secret, updated_at) "
            "VALUES (:owner, '\"whsec_clear\"', NULL, now())"
        ),
        {"owner": owner},
    )
    session.commit()

    found = move()

    assert found["secrets of callbacks"].old == {rotation.CLEAR: 1}
    assert found["previous secrets of callbacks"].old.total() == 0
    stored = session.scalar(sa.text("SELECT secret FROM webhook_secrets"))
    assert ciphertexts.decrypted(stored, owner, "webhook", keys=NEW_KEYS) == "whsec_clear"


def test_a_look_that_ran_out_of_time_says_so(session, encrypted_task):
    encrypted_task()

    found = rotation.examine(BOTH, in_transaction, until=0.0)

    assert {each.is_complete for each in found} == {False}


def test_every_column_with_encrypted_values_is_among_the_places(session, encrypted_task):
    """Whatever table holds the mark after all that encrypts has run must be empty of the old key after a move."""
    task_id = encrypted_task(status=Status.FAILED, **STATES[Status.FAILED])
    fresh = ciphertexts.encrypted(1, task_id, "payload", keys=OLD_KEYS)
    lifecycle.replay(session, [task_id], now=NOON, payload=to_json(fresh))
    session.commit()

    move()

    columns = session.execute(
        sa.text(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables "
            "USING (table_schema, table_name) WHERE table_schema = 'public' AND data_type = 'jsonb' "
            "AND table_type = 'BASE TABLE'"
        )
    ).all()
    assert ("tasks", "payload") in columns
    for table, column in columns:
        count = f'SELECT count(*) FROM "{table}" WHERE "{column}"::text LIKE :name'
        assert session.scalar(sa.text(count), {"name": f"%{OLD_NAME}%"}) == 0, (table, column)


def test_steps_of_a_task_and_what_it_was_sent_are_moved_each(session, encrypted_task):
    task_id = encrypted_task()
    encrypted = {
        what: to_json(ciphertexts.encrypted({"is": what}, task_id, bound, keys=OLD_KEYS))
        for what, bound in (("a", "step"), ("b", "step"), ("undo", "step"), ("signal", "signal"))
    }
    for name, undo in (("a", None), ("b", encrypted["undo"])):
        session.execute(STEP, {"id": task_id, "name": name, "result": encrypted[name], "undo": undo})
    session.execute(SIGNAL, {"id": task_id, "data": encrypted["signal"]})
    session.commit()

    tallies = move()
    assert [tallies[place].moved for place in ("results of steps", "undos of steps", "signals")] == [2, 1, 1]
    kept = session.execute(KEPT, {"id": task_id}).all()
    opened = [ciphertexts.decrypted(value, task_id, bound, keys=NEW_KEYS) for value, bound in kept]
    assert opened == [{"is": "a"}, {"is": "b"}, {"is": "signal"}, {"is": "undo"}]


STEP = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, result, undo, ended_at)
    VALUES (:id, :name, 1, 'once', 'DONE', CAST(:result AS jsonb), CAST(:undo AS jsonb), now())
""")
SIGNAL = sa.text("INSERT INTO signals (target, name, data, at) VALUES (:id, 'go', CAST(:data AS jsonb), now())")
KEPT = sa.text("""
    SELECT value, bound
    FROM (
        SELECT name AS place, result AS value, 'step' AS bound FROM task_steps WHERE task_id = :id
        UNION ALL SELECT 'undo', undo, 'step' FROM task_steps WHERE task_id = :id AND undo IS NOT NULL
        UNION ALL SELECT 'signal', data, 'signal' FROM signals WHERE target = :id
    ) AS kept
    ORDER BY place
""")
