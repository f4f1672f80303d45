"""Quotas of waiting tasks and of stored files, asked by many at once, each over a connection of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.config import get_settings
from app.database import Session, in_transaction
from app.models import SlotState, Status, new_id
from app.services import artifacts, lifecycle, schedules, workflows
from app.services.accounts import quotas, usage
from app.services.accounts.allowance import Allowance
from app.services.accounts.quotas import WAITING_TASKS, LaterRoom, QuotaReached, WaitingTasks
from app.services.artifacts import NewArtifact, StorageFull
from app.services.submission import Submission, draft, storage
from app.services.tasks import compensation, replay
from app.services.workflows import Caller, NewRun
from tests.support.factories import NOON, bring_to, create_schedule, make_task, slots_of
from tests.support.people import make_person
from tests.support.runs import create_workflow, step


@pytest.fixture
def owner(engine, database_url) -> UUID:
    WAITING_TASKS.forget()
    return make_person(database_url).id


@pytest.fixture
def allow(session, owner):
    """Give the owner a quota."""

    def allowed(**quota: int) -> None:
        names = ", ".join(f"{name} = :{name}" for name in quota)
        session.execute(sa.text(f"UPDATE users SET {names} WHERE id = :id"), {"id": owner, **quota})
        session.commit()

    return allowed


def waiting(session: Session, owner: UUID) -> int:
    session.rollback()
    return session.scalar(sa.text("SELECT count(*) FROM tasks WHERE owner_id = :id"), {"id": owner})


def submit_as_a_process(engine, owner: UUID, most: int, tasks: int = 1) -> bool:
    """What a process of its own does: it knows nothing of what the others have counted."""
    try:
        with Session(engine) as session, session.begin():
            WaitingTasks().take(session, owner, tasks, most=most)
            drafts = [
                draft(Submission(type="reverse_string", payload="a"), owner_id=owner, now=utcnow())
                for _ in range(tasks)
            ]
            storage.insert(session.connection(), drafts)
    except QuotaReached:
        return False
    return True


@pytest.mark.parametrize(("most", "tasks"), [(5, 1), (7, 3), (1, 1)])
def test_of_many_submissions_at_once_as_many_pass_as_the_quota_says(engine, session, owner, most, tasks):
    together = threading.Barrier(20)

    def one(_: int) -> bool:
        together.wait()
        return submit_as_a_process(engine, owner, most, tasks)

    with ThreadPoolExecutor(20) as threads:
        passed = sum(threads.map(one, range(20)))

    assert passed == most // tasks
    assert waiting(session, owner) == passed * tasks


def test_one_process_with_many_threads_passes_no_quota_either(engine, session, owner):
    shared, together = WaitingTasks(), threading.Barrier(20)

    def one(_: int) -> bool:
        together.wait()
        try:
            with Session(engine) as own, own.begin():
                shared.take(own, owner, 1, most=5)
                made = draft(Submission(type="reverse_string", payload="a"), owner_id=owner, now=utcnow())
                storage.insert(own.connection(), [made])
        except QuotaReached:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(one, range(20))) == 5


def test_a_place_comes_free_when_a_task_starts_and_when_a_transaction_is_rolled_back(engine, session, owner):
    with Session(engine) as other:
        WaitingTasks().take(other, owner, 2, most=2)
        other.rollback()
    assert submit_as_a_process(engine, owner, 2, 2)
    assert not submit_as_a_process(engine, owner, 2)

    [first, _] = session.scalars(sa.text("SELECT id FROM tasks ORDER BY id")).all()
    bring_to(session, Status.PROCESSING, first, at=utcnow())
    session.commit()

    assert submit_as_a_process(engine, owner, 2)


def test_an_account_far_from_its_quota_costs_no_statement(engine, session, owner):
    counts, statements = WaitingTasks(), []
    counts.take(session, owner, 1, most=1_000_000)
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    for _ in range(500):
        assert counts.take_known(owner, 1, most=1_000_000)
        counts.take(session, owner, 1, most=1_000_000)

    assert statements == []
    assert session.scalar(sa.text("SELECT count(*) FROM sql_counts")) == 0  # and took no lock


def test_what_a_process_knows_is_trusted_the_shorter_the_less_room_there_is(session, owner):
    counts = WaitingTasks()
    counts.take(session, owner, 1, most=12_000)

    counts._counts[owner].counted_at -= 0.4  # 12,000 places may be taken in 0.3 s

    assert not counts.take_known(owner, 1, most=12_000)
    assert counts.needs_look(owner, 1, most=12_000)


def test_somebody_who_holds_a_transaction_open_is_waited_for_a_second_and_by_the_dispatcher_hardly(engine, owner):
    with Session(engine) as holder, Session(engine) as own:
        WaitingTasks().take(holder, owner, 1, most=5)

        with pytest.raises(QuotaReached, match="Another transaction of your account"):
            WaitingTasks().take(own, owner, 1, most=5, patience=50)
        own.rollback()
        assert LaterRoom(own, owner, most=5, patience=50).take(5)  # what is committed decides
        assert own.scalar(sa.text("SHOW lock_timeout")) == "0"


STEPS_OF_THREE = {"a": step(), "b": step("a"), "c": step("b")}


def start(session: Session, owner: UUID, steps=None, name: str = "flow"):
    session.commit()
    if steps is not None:
        create_workflow(session, steps, owner_id=owner, name=name)
        session.commit()
    allowance = Allowance(room_of=quotas.rooms(session, default=0))
    return workflows.start_once(
        session, name, NewRun(), key=None, caller=Caller(owner_id=owner), now=utcnow(), allowance=allowance
    )[0]


def test_a_run_needs_places_for_all_of_its_steps_from_the_start(session, owner, allow):
    allow(max_waiting_tasks=3)
    steps = {f"s{number}": step() for number in range(300)}

    with pytest.raises(QuotaReached, match="needs 300 places at once, and your account may have 3"):
        start(session, owner, steps)

    session.rollback()
    assert waiting(session, owner) == 0


def test_steps_without_a_task_hold_their_places_and_the_run_goes_on_although_the_quota_is_full(session, owner, allow):
    allow(max_waiting_tasks=4)
    run = start(session, owner, STEPS_OF_THREE)
    session.commit()
    assert quotas.places_taken(session, owner) == 3

    with pytest.raises(QuotaReached):
        start(session, owner)
    session.rollback()
    quotas.rooms(session, default=0)(owner)(1)
    make_task(session, owner_id=owner)
    session.commit()
    for _ in range(3):
        end_step(session, run.id)

    assert workflows.read(session, run.id, visible_to=None).status == "COMPLETED"
    assert quotas.places_taken(session, owner) == 1


def test_retrying_a_run_needs_places_for_what_is_left_of_it(session, owner, allow):
    allow(max_waiting_tasks=3)
    run = start(session, owner, STEPS_OF_THREE)
    workflows.cancel(session, run.id, visible_to=None, now=utcnow())
    session.commit()
    assert quotas.places_taken(session, owner) == 0
    make_task(session, owner_id=owner)
    session.commit()
    allowance = Allowance(room_of=quotas.rooms(session, default=0))

    with pytest.raises(QuotaReached, match="room for 2, and 3 are needed"):
        workflows.retry(session, run.id, visible_to=None, now=utcnow(), allowance=allowance)

    session.rollback()
    allow(max_waiting_tasks=4)
    assert workflows.retry(session, run.id, visible_to=None, now=utcnow(), allowance=allowance).status == "RUNNING"


def end_step(session: Session, run_id: UUID) -> None:
    """Complete the task of the run that waits, as a worker would."""
    [task_id] = session.scalars(
        sa.text("SELECT id FROM tasks WHERE run_id = :id AND finished_at IS NULL"), {"id": run_id}
    ).all()
    bring_to(session, Status.COMPLETED, task_id, at=utcnow())
    [run] = workflows.lock_runs(session, [run_id])
    workflows.advance(session, run, now=utcnow())
    session.commit()


def test_a_schedule_fires_within_the_quota_and_its_slots_tell_why_not(session, owner, allow):
    allow(max_waiting_tasks=2)
    due = {"owner_id": owner, "accounted_until": NOON - timedelta(hours=4), "misfire": "run_all"}
    one = create_schedule(session, **due)
    session.commit()

    schedules.fire_due(session, now=NOON, limit=10)
    session.commit()

    found = slots_of(session, one)
    assert [each.state for each in found] == [SlotState.FIRED] * 2 + [SlotState.SKIPPED] * 2
    assert found[-1].reason.startswith("quota: ")
    assert waiting(session, owner) == 2


def test_schedules_that_two_dispatchers_fire_at_once_pass_no_quota(engine, session, owner, allow):
    allow(max_waiting_tasks=3)
    for _ in range(12):
        create_schedule(session, owner_id=owner, accounted_until=NOON - timedelta(hours=1))
    session.commit()
    together = threading.Barrier(4)

    def fire(_: int) -> None:
        together.wait()
        with Session(engine) as own, own.begin():
            schedules.fire_due(own, now=NOON, limit=3)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(fire, range(4)))

    assert waiting(session, owner) == 3


def test_a_scheduled_run_needs_places_for_its_steps(session, owner, allow):
    allow(max_waiting_tasks=2)
    create_workflow(session, STEPS_OF_THREE, owner_id=owner)
    target = {"workflow": {"name": "flow", "input": {}}}
    one = create_schedule(session, owner_id=owner, target=target, accounted_until=NOON - timedelta(hours=1))
    session.commit()

    schedules.fire_due(session, now=NOON, limit=10)

    [slot] = slots_of(session, one)
    assert (slot.state, slot.run_id, slot.reason[:6]) == (SlotState.SKIPPED, None, "quota:")


def test_starting_over_needs_a_place_and_starting_many_over_a_place_for_each(session, owner, allow):
    allow(max_waiting_tasks=2)
    failed = [make_task(session, owner_id=owner).id for _ in range(3)]
    bring_to(session, Status.FAILED, *failed)
    session.commit()
    allowance = Allowance(room_of=quotas.rooms(session, default=0))

    with pytest.raises(QuotaReached):
        replay.replay_batch(session, replay.DeadLetterFilter(owner_id=owner), now=NOON, allowance=allowance)
    session.rollback()
    for id_ in failed[:2]:
        replay.replay(session, id_, owner=owner, now=NOON, allowance=allowance)
    session.commit()
    with pytest.raises(QuotaReached):
        replay.replay(session, failed[2], owner=owner, now=NOON, allowance=allowance)


def test_undoing_is_never_refused_by_a_quota(session, owner, allow):
    allow(max_waiting_tasks=1)
    payload = {"template": "report", "data": {"title": "T", "sections": [{"heading": "One"}]}}
    done = make_task(session, owner_id=owner, type="generate_pdf", payload=payload)
    bring_to(session, Status.COMPLETED, done.id)
    make_task(session, owner_id=owner)
    session.commit()

    made, is_new = compensation.request(session, done.id, owner=owner, reason="", now=NOON)

    assert (made.type, is_new) == ("compensation", True)
    assert quotas.places_taken(session, owner) == 2  # it is counted, so that nothing else comes in before it has run


# Files


def save(owner: UUID, size: int, *, task_id: UUID | None = None, name: str = "a.bin", most: int | None = None):
    settings = get_settings() if most is None else replace(get_settings(), max_stored_bytes=most)
    new = NewArtifact(owner_id=owner, task_id=task_id, name=name, media_type="application/octet-stream")
    return artifacts.save(in_transaction, artifacts.store(), new, iter([b"x" * size]), settings=settings)


def test_of_many_files_at_once_as_many_are_kept_as_the_quota_says(session, owner, allow):
    allow(max_stored_bytes=1000)
    together = threading.Barrier(8)

    def one(_: int) -> bool:
        together.wait()
        try:
            save(owner, 300)
        except StorageFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(8))) == 3
    assert usage.stored_bytes(session, owner) == 900


def test_a_file_that_fills_the_quota_to_the_byte_is_kept_and_one_byte_more_is_not(owner, allow):
    allow(max_stored_bytes=100)
    save(owner, 99)

    with pytest.raises(StorageFull, match=r"99 of the 100 bytes .* are used, so 1 are free"):
        save(owner, 2)
    save(owner, 1)
    save(owner, 0)


def test_the_quota_of_the_service_holds_for_whoever_has_none_and_a_zero_is_none(owner, allow):
    with pytest.raises(StorageFull):
        save(owner, 11, most=10)
    allow(max_stored_bytes=0)
    save(owner, 11, most=10)


def test_what_is_deleted_replaced_or_expired_is_free_again(session, owner, allow):
    allow(max_stored_bytes=100)
    task_id = new_id()
    kept = save(owner, 60, task_id=task_id)
    save(owner, 70, task_id=task_id)  # the next attempt replaces it, and may be larger
    assert usage.stored_bytes(session, owner) == 70
    session.rollback()

    other = save(owner, 30)
    in_transaction(lambda own: artifacts.delete(own, other.id, owner=owner, now=utcnow()))
    assert usage.stored_bytes(session, owner) == 70
    session.execute(sa.text("UPDATE artifacts SET remove_at = :now WHERE owner_id = :id"), {"now": NOON, "id": owner})
    session.commit()
    while in_transaction(lambda own: artifacts.sweep(own, artifacts.store(), now=utcnow())):
        pass

    assert usage.stored_bytes(session, owner) == 0
    assert session.scalar(sa.text("SELECT count(*) FROM artifacts WHERE id = :id"), {"id": kept.id}) == 0


def test_what_is_written_by_hand_is_counted_too(session, owner):
    save(owner, 10)
    session.execute(
        sa.text(
            "INSERT INTO artifacts (id, owner_id, name, media_type, size, sha256, created_at, stored_at) VALUES "
            "(gen_random_uuid(), :id, 'a', 'b', 5, 'c', now(), now()), "
            "(gen_random_uuid(), NULL, 'a', 'b', 7, 'c', now(), now())"
        ),
        {"id": owner},
    )
    assert usage.stored_bytes(session, owner) == 15
    session.execute(sa.text("UPDATE artifacts SET size = 8 WHERE size = 5"))
    assert usage.stored_bytes(session, owner) == 18
    session.execute(sa.text("DELETE FROM artifacts"))
    assert usage.stored_bytes(session, owner) == 0


def test_a_lost_lease_leaves_nothing_counted(session, owner):
    def lost(_: Session) -> None:
        raise lifecycle.LeaseLost("gone")

    new = NewArtifact(owner_id=owner, task_id=new_id(), name="a", media_type="b")
    with pytest.raises(lifecycle.LeaseLost):
        artifacts.save(in_transaction, artifacts.store(), new, iter([b"abc"]), settings=get_settings(), fence=lost)

    assert usage.stored_bytes(session, owner) == 0
