"""Canvases of adopted applications: one run each, with the results that Celery's own workers give."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult, GroupResult

from app.clock import utcnow
from app.services.remote.known import TYPES
from taskledger_sdk.celery import NotAdopted, ids
from tests.integration.adoption.conftest import Declined

SECONDS = 30


@pytest.fixture
def canvases(shop):
    """By name: a canvas, and what it comes to."""
    add, total, echo, nothing = shop.add, shop.total, shop.echo, shop.nothing
    return {
        "chain": (chain(add.s(1, 2), add.s(3), add.s(4)), 10),
        "immutable": (chain(add.s(1, 2), add.si(5, 5)), 10),
        "nothing goes on": (chain(nothing.s(), echo.s()), [[None], {}]),
        "group": (group(add.s(i, i) for i in range(4)), [0, 2, 4, 6]),
        "chord": (chord([add.s(i, i) for i in range(4)], total.s()), 12),
        "chord of one": (chord([add.s(2, 2)], total.s()), 4),
        "chain of a chord": (chain(add.s(1, 1), group(add.s(10), add.s(20)), total.s(), add.s(100)), 134),
        "chain that ends in a group": (chain(add.s(1, 1), group(add.s(1), add.s(2))), [3, 4]),
        "group of chains": (group(chain(add.s(1, 1), add.s(1)), add.s(0, 7)), [3, 7]),
        "group of a group": (group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))), [2, 4, 6]),
        "chord of chains with a chain as body": (
            chord([chain(add.s(1, 1), add.s(1)), add.s(5, 5)], chain(total.s(), add.s(100))),
            113,
        ),
        "two chords": (chain(group(add.s(1), add.s(2)), total.s(), group(add.s(1), add.s(2)), total.s()), 9),
        "chunks": (add.chunks([(1, 1), (2, 2), (3, 3)], 2), [[2, 4], [6]]),
        "map": (total.map([[1, 2], [3]]), [3, 3]),
        "starmap": (add.starmap([(1, 1), (2, 2)]), [2, 4]),
        "values that look like templates": (
            chain(echo.si({"$from": "steps.x.result"}), echo.s(a=1)),
            [[[[{"$from": "steps.x.result"}], {}]], {"a": 1}],
        ),
    }


NAMES = (
    "chain", "immutable", "nothing goes on", "group", "chord", "chord of one", "chain of a chord",
    "chain that ends in a group", "group of chains", "group of a group", "chord of chains with a chain as body",
    "two chords", "values that look like templates",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_canvas_comes_to_what_it_comes_to_in_celery(canvases, worker, session, name):
    canvas, value = canvases[name]
    arguments = (0,) if name == "two chords" else ()

    result = canvas.apply_async(arguments)

    assert result.get(timeout=SECONDS) == value


@pytest.mark.parametrize("name", ["chain", "chord", "chain of a chord", "group of chains"])
def test_a_canvas_is_eager_as_before(canvases, shop, name):
    shop.app.conf.task_always_eager = True
    canvas, value = canvases[name]

    assert canvas.apply_async().get() == value


def test_the_results_of_a_chain_lead_back_to_its_first_task(shop, worker):
    result = chain(shop.add.s(1, 2), shop.add.s(3), shop.add.s(4)).apply_async()

    assert result.get(timeout=SECONDS) == 10
    assert (result.parent.get(), result.parent.parent.get(), result.parent.parent.parent) == (6, 3, None)
    assert [child.id for child in result.parent.children] == [result.id]


def test_a_result_is_found_by_its_id_alone_before_and_after_its_turn(shop, declared):
    id_ = chain(shop.add.s(1, 2), shop.add.s(3)).apply_async().id
    later = AsyncResult(id_, app=shop.app)
    assert later.state == "PENDING"

    with declared:
        assert later.get(timeout=SECONDS) == 6


def test_partial_arguments_go_to_the_first_task(shop, worker):
    assert chain(shop.add.s(2), shop.add.s(3)).apply_async((1,)).get(timeout=SECONDS) == 6
    assert group(shop.add.s(2), shop.add.s(3))(1).get(timeout=SECONDS) == [3, 4]


def test_a_canvas_called_as_a_function_is_submitted(shop, worker):
    assert chain(shop.add.s(1, 2), shop.add.s(3))().get(timeout=SECONDS) == 6
    assert chord([shop.add.s(1, 1), shop.add.s(2, 2)])(shop.total.s()).get(timeout=SECONDS) == 6
    assert (shop.add.s(1, 2) | shop.add.s(3)).delay().get(timeout=SECONDS) == 6


def test_the_error_of_a_task_is_that_of_the_chain(shop, worker):
    result = chain(shop.add.s(1, 2), shop.decline.s(), shop.add.s(3)).apply_async()

    with pytest.raises(Declined):
        result.get(timeout=SECONDS)
    alone = AsyncResult(result.id, app=shop.app)
    with pytest.raises(Declined):
        alone.get(timeout=SECONDS)


def test_the_error_of_a_header_is_a_chord_error(shop, worker):
    result = chord([shop.add.s(1, 1), shop.decline.s()], shop.total.s()).apply_async()

    with pytest.raises(ChordError, match="Declined"):
        AsyncResult(result.id, app=shop.app).get(timeout=SECONDS)


def test_the_others_of_a_group_run_when_one_has_failed(shop, worker):
    members = [shop.decline.s(), chain(shop.decline.s(), shop.add.s(1)), *(shop.add.si(each, 1) for each in range(3))]

    result = group(members).apply_async()

    values = [each.get(timeout=SECONDS, propagate=False) for each in result.results]
    assert [type(each) for each in values[:2]] == [Declined, Declined]
    assert values[2:] == [1, 2, 3]


def test_a_chord_names_the_task_of_its_header_that_failed(shop, worker):
    canvas = group(
        chord([shop.add.si(1, 1), shop.decline.s()], shop.total.s()), chord([shop.add.si(1, 1)], shop.total.s())
    )

    failed, fine = canvas.apply_async().results

    with pytest.raises(ChordError, match=rf"{failed.parent.results[1].id} raised Declined\('no funds', 17\)"):
        AsyncResult(failed.id, app=shop.app).get(timeout=SECONDS)
    assert fine.get(timeout=SECONDS) == 2


def test_a_group_after_a_header_fails_with_the_error_itself(shop, worker):
    result = chain(group(shop.add.si(1, 1), shop.decline.s()), group(shop.total.s(), shop.echo.s())).apply_async()

    with pytest.raises(Declined):
        result.get(timeout=SECONDS)


def test_a_callback_follows_on_its_task(shop, worker, stored):
    result = shop.add.apply_async((1, 2), link=[shop.add.s(10), shop.add.si(5, 5)])

    assert result.get(timeout=SECONDS) == 3
    assert sorted(child.get(timeout=SECONDS) for child in result.children) == [10, 13]


def test_errbacks_travel_to_where_the_task_may_fail(shop, worker):
    chain(shop.add.s(1, 2), shop.add.s(3)).on_error(shop.echo.s("failed")).apply_async().get(timeout=SECONDS)

    assert [[each["task"] for each in options["errbacks"]] for options in worker.options] == [["shop.echo"]] * 2


def test_results_that_a_later_task_takes_are_kept_whatever_the_task_says(shop, worker):
    chord([shop.add.s(1, 1)], chain(shop.total.s(), shop.add.si(1, 1))).apply_async().get(timeout=SECONDS)

    assert ["passes_on" in options for options in worker.options] == [True, False, False]


@pytest.mark.parametrize("id_", [ids.new_task_id(), UUID("01900000-0000-7c00-8000-000000000001")], ids=["new", "old"])
def test_a_chosen_id_of_version_7_that_is_no_id_of_the_ledger_is_found(shop, worker, id_):
    shop.add.apply_async((1, 2), task_id=str(id_), link=shop.add.s(1))

    assert shop.app.AsyncResult(str(id_)).get(timeout=SECONDS) == 3


def test_an_expiry_within_a_canvas_is_told_to_the_worker(shop, worker):
    chain(shop.add.s(1, 2).set(expires=60), shop.add.s(3).set(expires=60), shop.add.s(4)).apply_async().get(
        timeout=SECONDS
    )

    first, second, third = worker.options
    assert utcnow() < datetime.fromisoformat(first["expires"]) < utcnow() + timedelta(seconds=60)
    assert (second["expires_in"], "expires" in second) == (60, False)
    assert not {"expires", "expires_in"} & third.keys()


def test_the_errbacks_of_a_body_are_told_of_its_header(shop, worker):
    body = shop.total.s().on_error(shop.echo.s("failed"))

    chord([shop.add.s(1, 1)], body).apply_async().get(timeout=SECONDS)

    assert ["errbacks" in options for options in worker.options] == [True, True]


def test_a_group_is_restored_by_its_id(shop, worker):
    result = group(shop.add.s(1, 1), shop.add.s(2, 2)).apply_async()
    result.save()

    assert GroupResult.restore(result.id, app=shop.app).get(timeout=SECONDS) == [2, 4]


def test_revoking_what_has_not_had_its_turn_cancels_the_run(shop, declared):
    result = chain(shop.add.s(1, 2), shop.add.s(3)).apply_async()

    result.revoke()

    with pytest.raises(TaskRevokedError):
        AsyncResult(result.id, app=shop.app).get(timeout=5)


def test_a_group_whose_members_start_later_is_submitted_apart(shop, declared, stored):
    result = group(shop.add.s(1, 1).set(countdown=600), shop.add.s(2, 2)).apply_async()

    statuses = {str(row.id): row.status for row in stored()}
    assert [statuses.pop(each.id) for each in result] == ["SCHEDULED", "PENDING"]
    assert statuses == {}


def test_members_that_are_submitted_apart_expire_and_are_routed_as_any_call(shop, declared, stored):
    shop.app.conf.task_routes = {"shop.total": {"queue": "sums"}}
    later = [shop.add.s(1, 1).set(countdown=600), shop.add.s(2, 2).set(countdown=600, queue="sums")]

    result = group(*later, shop.add.s(3, 3).set(expires=utcnow() - timedelta(seconds=5))).apply_async()

    assert sorted(str(row.id) for row in stored()) == sorted(each.id for each in result.results[:2])
    assert {row.type for row in stored()} == {"shop.add"}
    assert result.results[2].state == "REVOKED"


@pytest.mark.parametrize("name", ["chain", "group", "chord", "chain of a chord"])
def test_a_canvas_that_was_frozen_has_the_results_that_it_got_then(canvases, worker, name):
    canvas, value = canvases[name]

    result = canvas.freeze()
    canvas.apply_async()

    assert result.get(timeout=SECONDS) == value


@pytest.mark.parametrize("name", ["link", "link_error"])
def test_a_callback_of_a_group_is_refused_as_in_celery(shop, declared, stored, name):
    with pytest.raises(TypeError, match=f"Cannot add {name} to a group"):
        group(shop.add.s(1, 1), shop.add.s(2, 2)).apply_async(**{name: shop.echo.s()})

    assert stored() == []


def test_options_of_a_chain_are_those_of_its_first_task(shop, worker):
    chain(shop.add.s(1, 2), chain(shop.add.s(3), shop.add.s(4))).apply_async(
        headers={"tenant": "acme"}, time_limit=60
    ).get(timeout=SECONDS)

    assert [("headers" in options, "timelimit" in options) for options in worker.options] == [
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_group_of_more_tasks_than_a_run_has_is_submitted_apart(shop, declared, stored):
    result = group(shop.add.s(i) for i in range(1_001)).apply_async()

    assert len(result) == len(stored()) == 1_001


def test_a_chord_of_more_tasks_than_a_run_has_is_refused_with_what_to_write(shop, declared, stored):
    with pytest.raises(NotAdopted, match=r"more than 1000 tasks.*chunks"):
        chord([shop.add.s(i) for i in range(1_000)], shop.total.s()).apply_async()

    assert stored() == []


def test_a_start_in_the_middle_of_a_canvas_is_refused_with_what_to_write(shop, declared):
    with pytest.raises(NotAdopted, match="countdown and eta are for the first tasks"):
        chain(shop.add.s(1), shop.add.s(2).set(countdown=5)).apply_async()


def test_a_canvas_of_a_task_that_nobody_has_declared_says_what_to_start(shop):
    from taskledger_sdk.celery import NotDeclared

    TYPES.forget()
    with pytest.raises(NotDeclared, match="celery -A shop ledger"):
        chain(shop.add.s(1), shop.add.s(2)).apply_async()


def test_an_empty_group_is_empty(shop):
    assert group().apply_async().get() == []


def test_add_to_chord_is_refused_with_what_to_write(shop):
    with pytest.raises(NotAdopted, match="member of the chord's header"):
        shop.add.add_to_chord(shop.add.s(1))


def test_the_start_of_a_canvas_is_that_of_its_run(shop, declared, stored, session):
    import sqlalchemy as sa

    chain(shop.add.s(1), shop.add.s(2)).apply_async(countdown=600)

    assert [row.status for row in stored()] == ["SCHEDULED"]
    assert session.scalar(sa.text("SELECT starts_at - created_at > interval '9 minutes' FROM workflow_runs"))


def test_first_tasks_that_start_at_different_times_are_refused_with_what_to_write(shop, declared):
    with pytest.raises(NotAdopted, match="a run has one start"):
        chord([shop.add.s(1).set(countdown=60), shop.add.s(2)], shop.total.s()).apply_async()
