"""Repairs: what they count, replay, refuse, judge and take back, step by step at moments of the test's choosing."""

from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, NotFound, Refused
from app.models import RepairStatus, Status, new_id
from app.services import events, lifecycle, repairs, webhooks
from app.services.accounts.allowance import ANYTHING
from app.services.accounts.audit import COMMAND_LINE
from app.services.measuring.stats import counted, reporting
from app.services.recovery.failures import Failure
from app.services.repairs import Choice, Plan, RepairUnderWay, Spec, patching, working
from app.services.repairs.preview import ENCRYPTED
from app.services.tasks import cancellation, records, replay
from app.sinks.stats import StatsSink
from taskledger_sdk.registry import get_type
from tests.support.factories import (
    HOLDER,
    NOON,
    make_claim,
    make_task,
    pass_events_on,
    read_task,
    seconds,
)
from tests.support.people import make_admin, make_person
from tests.support.waiting_tasks import remember

FAILED_BEFORE = NOON + seconds(1)
UPPER = [{"op": "replace", "path": "", "value": "mended"}]
NUMBER = [{"op": "replace", "path": "", "value": 17}]
FAILURE = Failure(type="LookupError", message="no such city")
S = RepairStatus


@dataclass(frozen=True, kw_only=True)
class Euros:
    amount: int


@dataclass(frozen=True, kw_only=True)
class Cents:
    amount: int
    note: str = ""


@pytest.fixture
def admin(engine, database_url):
    return make_admin(database_url)


@pytest.fixture
def person(engine, database_url):
    return make_person(database_url)


def dead(session, number=1, *, message="no such city", **columns):
    """Dead letters, oldest first."""
    ids = []
    for _ in range(number):
        held = make_claim(session, **columns)
        lifecycle.fail(session, held, Failure(type="LookupError", message=message), now=NOON)
        ids.append(held.id)
    session.commit()
    return ids


def plan(patch=None, *, canary=0, per_second=1_000.0, ratio=None, **choice):
    return Plan(
        choice=Choice(**{"type": "reverse_string", "failed_before": FAILED_BEFORE, **choice}),
        patch=patch,
        spec=Spec(canary=canary, per_second=per_second, stop_above_failure_ratio=ratio),
    )


def preview(session, patch, **choice):
    return repairs.preview_of(session, plan(**choice).choice, patch, owner=None, is_time_up=lambda: False)


@pytest.fixture
def start(session, admin):
    """Start a repair, of an admin over everybody's tasks unless told otherwise."""

    def started(wanted=None, *, token=None, owner=admin, visible_to=None):
        return repairs.start(
            session,
            wanted or plan(),
            token=token or str(new_id()),
            owner_id=owner.id,
            visible_to=visible_to,
            allowance=ANYTHING,
            actor=COMMAND_LINE,
            now=NOON + seconds(2),
        )

    return started


@pytest.fixture
def step(session, settings):
    def stepped(repair, *, after=3.0, times=1):
        for number in range(times):
            repairs.step(session, repair.id, settings=settings, now=NOON + seconds(after + number / 100))
        return repairs.read(session, repair.id, visible_to=None)

    return stepped


def end(session, ids, *, well=True):
    """Let a worker run these tasks once."""
    claims = lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=NOON + seconds(10))
    for claim in claims:
        if well:
            lifecycle.complete(session, [(claim, "x")], now=NOON + seconds(11))
        else:
            lifecycle.fail(session, claim, FAILURE, now=NOON + seconds(11))
    return claims


def steer(session, repair, what):
    return repairs.steer(
        session, repair.id, what, visible_to=None, actor=COMMAND_LINE, by="ada", now=NOON + seconds(20)
    )


def undo(session, settings, repair):
    """To the end."""
    repair = steer(session, repair, "undo")
    while repair.status == S.UNDOING:
        repairs.step(session, repair.id, settings=settings, now=NOON + seconds(21))
        repair = repairs.read(session, repair.id, visible_to=None)
    return repair


def test_all_dead_letters_of_a_choice_are_replayed_with_the_patch(session, start, step):
    ids, others = dead(session, 3), dead(session, 2, message="the disk is full")
    fingerprint = read_task(session, ids[0]).error_fingerprint

    repair = step(start(plan(UPPER, fingerprint=fingerprint)), times=3)

    assert (repair.count, repair.replayed, repair.remaining, repair.unended) == (3, 3, 0, 3)
    assert {(read_task(session, id_).status, read_task(session, id_).payload) for id_ in ids} == {("PENDING", "mended")}
    assert {read_task(session, id_).status for id_ in others} == {"FAILED"}


@pytest.mark.parametrize(
    ("choice", "matches"),
    [
        ({"labels": (("team", "billing"),)}, True),
        ({"labels": (("team", "sales"),)}, False),
        ({"text": "CITY"}, True),
        ({"text": "disk"}, False),
        ({"created_after": NOON}, True),
        ({"created_before": NOON}, False),
        ({"failed_after": NOON}, True),
        ({"failed_before": NOON}, False),
    ],
)
def test_a_choice_filters_as_the_lists_do(session, choice, matches):
    dead(session, labels={"team": "billing"})

    found = repairs.preview_of(session, plan(**choice).choice, None, owner=None, is_time_up=lambda: False)

    assert found.count == (1 if matches else 0)


def test_a_choice_is_the_same_after_it_was_written_and_read():
    choice = plan(
        fingerprint="0" * 16, labels=(("a", "b:c"),), text="x", created_after=NOON, created_before=NOON
    ).choice

    assert Choice.from_json(choice.as_json()) == choice


def test_a_dry_run_tells_what_the_patch_would_make_invalid_and_changes_nothing(session):
    [id_] = dead(session)

    found = preview(session, patching.Patch(NUMBER, get_type("reverse_string"), 1_000))

    assert (found.count, found.checked, found.refused) == (1, 1, 1)
    assert found.refused_tasks[0].task_id == id_
    assert "payload" in found.refused_tasks[0].problem
    assert read_task(session, id_).status == Status.FAILED


def test_a_dry_run_stops_trying_when_its_time_is_up(session):
    dead(session, 3)
    patch = patching.Patch(UPPER, get_type("reverse_string"), 1_000)

    found = repairs.preview_of(session, plan().choice, patch, owner=None, is_time_up=lambda: True)

    assert (found.count, found.checked) == (3, 0)


def test_a_task_that_the_patch_does_not_fit_stays_a_dead_letter_and_is_told(session, start, step):
    ids = dead(session, 2)

    repair = step(start(plan(NUMBER)), times=3)

    assert (repair.status, repair.refused, repair.replayed) == (S.COMPLETED, 2, 0)
    page = repairs.items(session, repair, outcomes=["refused"], after=None, limit=10)
    assert [item.task_id for item in page.items] == ids
    assert "payload" in page.items[0].problem
    assert {read_task(session, id_).status for id_ in ids} == {"FAILED"}


def test_what_was_replayed_or_deleted_meanwhile_is_passed_over(session, start, step):
    replayed, deleted, again = dead(session, 3)
    repair = start()
    replay.replay(session, replayed, owner=None, now=NOON + seconds(3))
    pass_events_on(session)
    records.delete(session, deleted, owner=None, states=None)
    replay.replay(session, again, owner=None, now=NOON + seconds(3))
    end(session, [again], well=False)

    repair = step(repair, after=13, times=4)

    assert (repair.status, repair.passed_over, repair.replayed) == (S.COMPLETED, 3, 0)


def test_the_canary_goes_first_and_the_others_wait_until_it_has_ended(session, start, step):
    dead(session, 5)
    repair = step(start(plan(canary=2)), times=10)
    assert (repair.status, repair.replayed) == (S.CANARY, 2)

    end(session, [item.task_id for item in repairs.items(session, repair, after=None, limit=2).items])
    repair = step(repair, after=15, times=5)

    assert (repair.status, repair.replayed, repair.well) == (S.RUNNING, 5, 2)


def test_a_canary_that_fails_stops_the_repair_with_nothing_else_replayed(session, start, step):
    ids = dead(session, 30)
    repair = step(start(plan(canary=5, ratio=0.2)), times=10)

    end(session, ids[:3])
    end(session, ids[3:5], well=False)
    repair = step(repair, after=15, times=3)

    assert (repair.status, repair.replayed, repair.failed) == (S.STOPPED, 5, 2)
    assert "2 of 5" in repair.reason
    assert session.scalar(sa.text("SELECT count(*) FROM audit_log WHERE action = 'repair.stopped_by_itself'")) == 1


def test_a_repair_that_begins_to_fail_later_stops_too(session, start, step):
    ids = dead(session, 60)
    repair = step(start(plan(canary=20, ratio=0.1, per_second=40)), times=3)
    while repair.replayed < 20:
        repair = step(repair, after=3 + repair.replayed)
    end(session, ids[:20])
    repair = step(repair, after=30, times=2)
    repair = step(repair, after=31)
    assert repair.status == S.RUNNING

    end(session, ids[20 : repair.replayed], well=False)
    repair = step(repair, after=32)

    assert repair.status == S.STOPPED
    assert repair.replayed < 20 + 40


def test_a_failure_that_will_be_retried_counts_as_failed_and_a_lost_chunk_does_not(session, start, step):
    raised, given_back = dead(session, 2)
    repair = step(start(), times=2)
    [claim] = lifecycle.claim(
        session, "reverse_string", [raised], holder=HOLDER, lease_seconds=60, now=NOON + seconds(5)
    )
    lifecycle.retry_later(session, claim, FAILURE, due_at=NOON + seconds(60), now=NOON + seconds(6))
    [claim] = lifecycle.claim(
        session, "reverse_string", [given_back], holder=HOLDER, lease_seconds=60, now=NOON + seconds(5)
    )
    lifecycle.give_back(session, [claim], reason="given back: its worker was shutting down", now=NOON + seconds(6))

    repair = step(repair, after=7)

    assert (repair.failed, repair.unended) == (1, 1)


def test_the_first_attempt_decides_whatever_came_after_it(session, start, step):
    [id_] = dead(session)
    repair = step(start(), times=2)
    [claim] = lifecycle.claim(session, "reverse_string", [id_], holder=HOLDER, lease_seconds=60, now=NOON + seconds(5))
    lifecycle.retry_later(session, claim, FAILURE, due_at=NOON + seconds(6), now=NOON + seconds(6))
    lifecycle.fall_due(session, since=NOON, now=NOON + seconds(7), limit=10)
    end(session, [id_])
    assert read_task(session, id_).status == Status.COMPLETED

    repair = step(repair, after=12)

    assert (repair.status, repair.failed, repair.well) == (S.COMPLETED, 1, 0)


def test_the_rate_holds_over_time_and_over_processes(session, start, step):
    dead(session, 100)
    repair = start(plan(per_second=10))

    for number in range(21):
        step(repair, after=2 + number / 10)

    assert 20 <= step(repair, after=4.1).replayed <= 26


def test_a_pause_earns_no_credit(session, start, step):
    dead(session, 50)
    repair = step(start(plan(per_second=10)), after=3)
    replayed = repair.replayed
    steer(session, repair, "pause")
    assert step(repair, after=19, times=5).replayed == replayed

    steer(session, repair, "resume")
    repair = step(repair, after=20)

    assert repair.status == S.RUNNING
    assert repair.replayed - replayed <= 6


def test_a_canary_that_does_not_end_pauses_the_repair(session, start, step):
    dead(session, 3)
    repair = step(start(plan(canary=1)), times=3)

    repair = step(repair, after=700)

    assert repair.status == S.PAUSED
    assert "canary" in repair.reason
    assert steer(session, repair, "resume").status == S.CANARY


def test_undo_makes_exactly_those_dead_letters_again_that_have_not_started(session, settings, start, step):
    ids = dead(session, 4, payload="broken", schema_hash="an older one")
    before = {id_: read_task(session, id_) for id_ in ids}
    repair = step(start(plan(UPPER)), times=2)
    done, running, given_back, waiting = ids
    end(session, [done])
    for id_ in (running, given_back):
        [claim] = lifecycle.claim(
            session, "reverse_string", [id_], holder=HOLDER, lease_seconds=60, now=NOON + seconds(10)
        )
    lifecycle.give_back(session, [claim], reason="given back: its worker was shutting down", now=NOON + seconds(11))

    repair = undo(session, settings, repair)

    assert (repair.status, repair.undone) == (S.UNDONE, 1)
    statuses = [read_task(session, id_).status for id_ in ids]
    assert statuses == ["COMPLETED", "PROCESSING", "PENDING", "FAILED"]
    row, old = read_task(session, waiting), before[waiting]
    same = (
        "payload",
        "schema_hash",
        "attempt",
        "attempt_base",
        "finished_at",
        "error",
        "error_fingerprint",
        "started_at",
        "due_at",
    )
    assert [getattr(row, name) for name in same] == [getattr(old, name) for name in same]
    assert read_task(session, given_back).payload == "mended"
    assert read_task(session, given_back).schema_hash == get_type("reverse_string").schema_hash


def test_what_was_not_replayed_yet_is_left_alone_by_undo(session, settings, start, step):
    dead(session, 5)
    repair = step(start(plan(canary=2)), times=5)

    repair = undo(session, settings, repair)

    assert (repair.status, repair.undone, repair.remaining) == (S.UNDONE, 2, 3)
    assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE status = 'FAILED'")) == 5


def test_an_undone_repair_can_be_made_again(session, settings, start, step):
    ids = dead(session, 2)
    undo(session, settings, step(start(), times=2))

    repair = step(start(), after=30, times=3)
    end(session, ids)
    repair = step(repair, after=40)

    assert (repair.status, repair.well) == (S.COMPLETED, 2)


def test_there_is_nothing_to_undo_once_all_have_ended(session, start, step):
    ids = dead(session, 2)
    repair = step(start(), times=2)
    end(session, ids)
    repair = step(repair, after=12)
    assert repair.status == S.COMPLETED

    with pytest.raises(Conflict, match="nothing to undo"):
        steer(session, repair, "undo")


def test_the_database_refuses_the_arrow_of_undo_for_a_task_that_was_never_replayed(session):
    task = make_claim(session)
    lifecycle.give_back(session, [task], reason="given back", now=NOON)
    session.commit()

    with pytest.raises(IntegrityError, match="cannot go from PENDING to FAILED"):
        session.execute(sa.text("UPDATE tasks SET status = 'FAILED', error = '{}' WHERE id = :id"), {"id": task.id})
    session.rollback()


def test_a_task_that_is_cancelled_before_it_starts_counts_for_nothing(session, start, step):
    [id_] = dead(session)
    repair = step(start(plan(ratio=0.0, canary=1)), times=2)
    cancellation.cancel(session, id_, owner=None, by="ada", now=NOON + seconds(5))

    repair = step(repair, after=6)

    assert (repair.status, repair.cancelled, repair.failure_ratio) == (S.COMPLETED, 1, None)


def test_two_repairs_of_one_type_are_refused_with_the_path_of_the_first(session, start):
    dead(session, 2)
    first = start()

    with pytest.raises(RepairUnderWay, match=str(first.id)) as refused:
        start()

    assert (refused.value.status, refused.value.code) == (409, "repair_under_way")


def test_accounts_do_not_keep_each_other_from_repairing_but_an_admins_repair_has_all_tasks(
    session, database_url, admin, start
):
    ada, bob = make_person(database_url), make_person(database_url)
    dead(session, 1, owner_id=ada.id)
    dead(session, 1, owner_id=bob.id)
    first = start(owner=ada, visible_to=ada.id)
    second = start(owner=bob, visible_to=bob.id)
    assert (first.count, second.count) == (1, 1)

    with pytest.raises(RepairUnderWay):
        start()
    for repair in (first, second):
        steer(session, repair, "stop")
    everybodys = start()

    with pytest.raises(RepairUnderWay) as refused:
        start(owner=ada, visible_to=ada.id)
    assert str(everybodys.id) not in str(refused.value)


def test_somebody_elses_repair_is_not_there(session, database_url, start):
    ada, bob = make_person(database_url), make_person(database_url)
    dead(session, 1, owner_id=ada.id)
    repair = start(owner=ada, visible_to=ada.id)

    with pytest.raises(NotFound):
        repairs.read(session, repair.id, visible_to=bob.id)
    with pytest.raises(NotFound):
        repairs.steer(session, repair.id, "stop", visible_to=bob.id, actor=COMMAND_LINE, by=None, now=NOON)
    assert repairs.find(session, visible_to=bob.id, before=None, limit=5).items == []


def test_an_account_repairs_its_own_tasks_only(session, person, start, step):
    [theirs], [others] = dead(session, 1, owner_id=person.id), dead(session, 1)

    repair = step(start(owner=person, visible_to=person.id), times=2)

    assert repair.count == 1
    assert (read_task(session, theirs).status, read_task(session, others).status) == ("PENDING", "FAILED")


def test_a_token_starts_one_repair(session, start):
    dead(session, 2)
    first = start(token="once")
    steer(session, first, "stop")

    with pytest.raises(Refused, match=str(first.id)) as refused:
        start(token="once")

    assert "token" in refused.value.errors


def test_a_repair_of_nothing_is_refused(start):
    with pytest.raises(Refused, match="no dead letter"):
        start()


def test_a_repair_stops_when_the_account_that_started_it_is_closed(session, person, start, step):
    dead(session, 2, owner_id=person.id)
    repair = start(owner=person, visible_to=person.id)
    session.execute(sa.text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": person.id})

    repair = step(repair)

    assert (repair.status, repair.replayed) == (S.STOPPED, 0)
    assert "closed" in repair.reason


def test_a_repair_stops_when_its_account_may_not_use_the_type_any_more(session, person, start, step):
    dead(session, 2, owner_id=person.id)
    repair = start(owner=person, visible_to=person.id)
    session.execute(sa.text("UPDATE users SET allowed_types = '{}' WHERE id = :id"), {"id": person.id})

    repair = step(repair)

    assert (repair.status, repair.replayed) == (S.STOPPED, 0)


def test_a_repair_waits_where_the_quota_has_no_room(session, settings, person, start, step):
    ids = dead(session, 2, owner_id=person.id)
    limit_to_one_place(session, person)
    repair = start(owner=person, visible_to=person.id)

    waiting = step(repair, times=2)
    end(session, ids)
    later = step(repair, after=15, times=2)

    assert (waiting.status, waiting.replayed) == (S.RUNNING, 1)
    assert "room" in (waiting.reason or "")
    assert later.replayed == 2


def test_an_account_without_room_does_not_hold_up_the_others(session, person, start, step, monkeypatch):
    monkeypatch.setattr(working, "BATCH", 2)
    dead(session, 5, owner_id=person.id)
    ids = dead(session, 3)
    limit_to_one_place(session, person)
    repair = start()

    repair = step(repair, times=6)

    assert {read_task(session, id_).status for id_ in ids} == {Status.PENDING}
    assert repair.replayed == 4


def limit_to_one_place(session, person):
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1 WHERE id = :id"), {"id": person.id})
    session.commit()


def test_deleting_a_task_forgets_the_payload_that_its_repair_has_kept(session, start, step):
    [id_] = dead(session, payload="secret")
    step(start(plan(UPPER)), times=2)
    end(session, [id_])
    pass_events_on(session)

    records.delete(session, id_, owner=None, states=None)

    assert session.scalar(sa.text("SELECT old_payload FROM repair_items WHERE task_id = :id"), {"id": id_}) is None


def test_a_step_passes_over_a_repair_that_another_process_has_in_hand(session, engine, settings, start):
    dead(session, 2)
    repair = start()
    session.commit()
    with engine.begin() as other:
        other.execute(sa.text("SELECT FROM repairs WHERE id = :id FOR UPDATE"), {"id": repair.id})

        assert repairs.step(session, repair.id, settings=settings, now=NOON + seconds(3)) == 0


def test_the_course_of_a_repair_adds_up(session, start, step):
    ids = dead(session, 6)
    repair = step(start(), times=3)
    end(session, ids[:4])
    end(session, ids[4:], well=False)
    repair = step(repair, after=40)

    points = repairs.course(session, repair)

    assert sum(point.replayed for point in points) == 6
    assert (sum(point.well for point in points), sum(point.failed for point in points)) == (4, 2)


def test_a_sensitive_payload_is_refused_when_there_is_a_patch(session):
    dead(session)
    patch = patching.Patch(UPPER, replace(get_type("reverse_string"), sensitive=True), 1_000)

    found = preview(session, patch)

    assert [each.problem for each in found.refused_tasks] == [ENCRYPTED]


def test_a_dry_run_refuses_what_remembers_its_steps_as_the_repair_does(session, start, step):
    [id_] = dead(session)
    remember(session, id_, "charge", 1)
    session.commit()

    found = preview(session, patching.Patch(UPPER, get_type("reverse_string"), 1_000))
    repair = step(start(plan(UPPER)), times=3)

    assert (found.refused, repair.refused) == (1, 1)
    [item] = repairs.items(session, repair, after=None, limit=10).items
    assert [each.problem for each in found.refused_tasks] == [item.problem]


def test_a_payload_of_an_earlier_schema_is_upgraded_before_it_is_patched(session, release, start, step):
    """It is stored under the schema of now, from which nothing upgrades it: a patch alone would change its meaning."""
    old = release(Euros).schema_hash
    kind = release(Cents, upgrade={old: lambda payload: {**payload, "amount": payload["amount"] * 100}})
    [id_] = dead(session, type="resize", payload={"amount": 5}, schema_hash=old)
    patch = [{"op": "add", "path": "/note", "value": "mended"}]

    found = preview(session, patching.Patch(patch, kind, 1_000), type="resize")
    step(start(plan(patch, type="resize")), times=3)

    task = read_task(session, id_)
    assert (task.payload, task.schema_hash) == ({"amount": 500, "note": "mended"}, kind.schema_hash)
    assert [(each.before, each.after) for each in found.sample] == [({"amount": 5}, task.payload)]


@pytest.mark.parametrize(
    ("upgrade", "told"),
    [
        (lambda payload: payload["secret 7"], "raised KeyError"),
        (lambda payload: {1, 2}, "JSON does not have"),
    ],
)
def test_a_payload_whose_upgrade_does_not_work_is_refused_without_a_word_of_it(
    session, release, start, step, upgrade, told
):
    old = release(Euros).schema_hash
    release(Cents, upgrade={old: upgrade})
    dead(session, type="resize", payload={"amount": 5}, schema_hash=old)

    repair = step(start(plan([{"op": "add", "path": "/note", "value": "mended"}], type="resize")), times=3)

    [item] = repairs.items(session, repair, after=None, limit=10).items
    assert item.outcome == "refused"
    assert told in item.problem
    assert "secret" not in item.problem


def test_a_task_that_is_being_undone_meanwhile_is_passed_over(session, start, step):
    [id_] = dead(session)
    repair = start()
    undo = make_task(session)
    remember(session, id_, "#undo", 1, kind="call", child_id=undo.id, ended_at=None)
    session.commit()

    repair = step(repair, times=3)

    assert (repair.status, repair.passed_over, repair.replayed) == (S.COMPLETED, 1, 0)
    [item] = repairs.items(session, repair, after=None, limit=10).items
    assert "being undone" in item.problem


def test_a_repair_is_forgotten_with_its_tasks_once_it_was_over_for_long_enough(session, start, step):
    ids = dead(session, 5)
    repair = step(start(), times=2)
    end(session, ids)
    repair = step(repair, after=12)
    assert repair.is_settled

    assert repairs.prune(session, before=repair.finished_at, limit=3) == 0
    gone = [repairs.prune(session, before=repair.finished_at + seconds(1), limit=3) for _ in range(3)]

    assert gone == [4, 3, 0]
    assert session.scalar(sa.text("SELECT count(*) FROM repair_items")) == 0
    with pytest.raises(NotFound):
        repairs.read(session, repair.id, visible_to=None)


def test_a_repair_goes_only_as_far_ahead_as_its_outcomes_have_earned_it(session, start, step):
    ids = dead(session, 200)
    repair = step(start(plan(ratio=0.1, per_second=20)), times=1)
    for number in range(20):
        repair = step(repair, after=4 + number)
    assert repair.replayed == repair.unended == 10  # half a second's worth

    end(session, ids[:10])
    for number in range(20):
        repair = step(repair, after=30 + number)

    assert (repair.well, repair.unended) == (10, 10)


def test_webhooks_and_statistics_pass_over_a_replay_that_was_undone(session, settings, person, start, step):
    [id_] = dead(session, owner_id=person.id, callback_url="https://example.com/hook")
    undo(session, settings, step(start(), times=2))
    assert read_task(session, id_).status == Status.FAILED
    pass_events_on(session)
    taken = [event for event in events.read_after(session, 0, limit=100).events if event.task_id == id_]
    assert [event.status for event in taken] == ["PENDING", "PROCESSING", "FAILED", "PENDING", "FAILED"]

    told = webhooks.fan_out(session, taken, now=NOON)
    StatsSink().handle(session, taken, now=NOON)

    assert told == 1
    assert session.scalar(sa.text("SELECT sum(n) FROM task_stats WHERE status = 'FAILED'")) == 1
    changes = counted.changes(session, owner=person.id)
    assert [reporting.Tally.of(changes, net=net).jobs_failed for net in (False, True)] == [1, 1]
