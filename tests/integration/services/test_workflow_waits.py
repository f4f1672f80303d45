"""Steps without a type of their own: waits for signals and moments, items of a list, runs of other workflows."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.database import in_transaction
from app.errors import Refused
from app.models import RunStatus
from app.services import workflows
from app.services.durable import children
from app.services.explain.run_causes import rank_run
from app.services.retention import Ages
from app.services.workflows import Caller, NewRun, upkeep
from app.services.workflows.reading import ItemCounts
from taskledger_sdk import PermanentError, TaskContext, registry, task_type
from taskledger_sdk.durable import asking
from taskledger_sdk.registry import load_types
from tests.integration.worker.durable import dispatch
from tests.support.runs import create_workflow, pdf, run_of, states, step, task_of, undone
from tests.support.servers.attempts import run_attempt
from tests.support.signals import send_signal


@dataclass(frozen=True, kw_only=True)
class Drill:
    message: str = ""


ORDERS = [{"id": f"A-{number}", "total": number} for number in range(5)]
EACH = {"$from": "input.orders"}
READY = sa.text("""
    SELECT id, type
    FROM tasks
    WHERE status = 'PENDING' AND dispatched_at IS NOT NULL
    ORDER BY priority, id
    LIMIT :limit
""")


@pytest.fixture(autouse=True)
def drill(monkeypatch):
    """A type whose tasks fail for good when they are told to."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("drill")
    def drill(task: TaskContext, payload: Drill) -> None:
        """Fail, or do nothing."""
        if payload.message:
            raise PermanentError(payload.message)


@pytest.fixture
def hints(monkeypatch):
    from app.services.submission import storage

    monkeypatch.setattr(storage, "dispatch_soon", lambda *_: None)


@dataclass(frozen=True, kw_only=True)
class Sized:
    size: str


@dataclass(frozen=True, kw_only=True)
class Wide:
    width: int


@pytest.fixture
def begin(session, hints):
    """A run of a new workflow, as its tasks have brought it to."""

    def begun(steps, *, input_=None, name="flow", **said):
        create_workflow(session, steps, name=name, **said)
        return start(name, input_)

    def start(name, input_=None):
        def work(session):
            workflow = workflows.read_workflow(session, name, caller=Caller(owner_id=None), now=clock.utcnow())
            new = NewRun(input=input_ or {})
            return workflows.start(session, workflow, new, owner_id=None, now=clock.utcnow())

        session.commit()
        run = in_transaction(work)
        work_off(session)
        return run_of(session, run.id)

    begun.again = start
    return begun


def work_off(session, *, limit=50, after=timedelta(0), rounds=100):
    """Run what may run, and let the duties look, until nothing is left to do."""
    for _ in range(rounds):
        session.rollback()
        dispatch(after=after)
        _advance_runs()
        ready = session.execute(READY, {"limit": limit}).all()
        session.rollback()
        if not ready:
            break
        for row in ready:
            run_attempt(row.type, row.id)
    session.rollback()


def _advance_runs():
    now = clock.utcnow()
    for run_id in in_transaction(lambda session: upkeep.orphaned(session, limit=100)):
        in_transaction(lambda session, id_=run_id: upkeep.cancel(session, id_, now=now))
    for run_id in in_transaction(lambda session: upkeep.woken(session, limit=100)):
        in_transaction(lambda session, id_=run_id: upkeep.advance(session, id_, now=now))


def signal(session, run, name, data=None):
    """As POST /runs/{id}/signals/{name} does it."""
    waiting = list(session.scalars(sa.text("SELECT id FROM tasks WHERE run_id = :id"), {"id": run.id}))
    session.rollback()
    in_transaction(lambda session: send_signal(session, run.id, name, data, waiting=waiting, now=clock.utcnow()))
    work_off(session)


def result_of(session, run, key):
    return task_of(session, run.id, key).result


class TestWaiting:
    def test_a_step_waits_for_a_signal_and_the_next_one_gets_its_data(self, session, begin):
        run = begin(
            {
                "approved": {"wait_for": "approved"},
                "tell": step("approved", payload={"$from": "steps.approved.result.data.by"}),
            }
        )
        assert (states(session, run.id)["approved"], task_of(session, run.id, "approved").status) == (
            "STARTED",
            "WAITING",
        )

        signal(session, run, "approved", {"by": "ann"})

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        assert result_of(session, run, "tell") == "nna"

    def test_why_says_for_what_a_run_waits(self, session, begin):
        run = begin({"approved": {"wait_for": "approved"}})

        answer = rank_run(workflows.view(session, run), now=clock.utcnow())

        assert answer.summary == "No step waits for another; under way: approved (waits for the signal approved)."

    def test_a_signal_that_comes_early_is_kept(self, session, begin):
        run = begin({"sleep": {"sleep": 3600}, "approved": {"wait_for": "approved", "after": ["sleep"]}})
        signal(session, run, "approved", "yes")

        work_off(session, after=timedelta(hours=2))

        assert result_of(session, run, "approved") == {"data": "yes", "timed_out": False}

    def test_data_that_do_not_fit_the_schema_are_passed_over(self, session, begin):
        schema = {"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}}
        run = begin({"approved": {"wait_for": "approved", "schema": schema}})
        signal(session, run, "approved", {"by": 5})
        assert task_of(session, run.id, "approved").status == "WAITING"

        signal(session, run, "approved", {"by": "ann"})

        assert result_of(session, run, "approved")["data"] == {"by": "ann"}

    def test_a_schema_that_nothing_could_be_held_against_is_refused_with_the_definition(self, session):
        with pytest.raises(Refused) as refused:
            create_workflow(session, {"approved": {"wait_for": "approved", "schema": {"type": "objekt"}}})

        [message] = refused.value.errors["definition"]["steps"]["approved"]["schema"]
        assert message.startswith("is no JSON Schema that can be used: #/type")

    @pytest.mark.parametrize(
        ("on_timeout", "state", "status"),
        [(None, "FAILED", "COMPENSATED"), ("fail", "FAILED", "COMPENSATED"), ("skip", "SKIPPED", "COMPLETED")],
    )
    def test_a_wait_that_takes_too_long_fails_or_is_skipped(self, session, begin, on_timeout, state, status):
        wait = {"wait_for": "approved", "timeout": 60} | ({} if on_timeout is None else {"on_timeout": on_timeout})
        run = begin({"approved": wait, "after": step("approved"), "beside": step()})

        work_off(session, after=timedelta(minutes=2))

        assert states(session, run.id)["approved"] == state
        assert run_of(session, run.id).status == status
        assert states(session, run.id)["after"] == ("SKIPPED" if on_timeout == "skip" else "WAITING")

    @pytest.mark.parametrize("for_each", [None, [1]])
    def test_a_retry_waits_again_for_the_whole_of_its_time(self, session, begin, for_each):
        wait = {"wait_for": "approved", "timeout": 60} | ({} if for_each is None else {"for_each": for_each})
        run = begin({"approved": wait}, on_failure="stop")
        work_off(session, after=timedelta(minutes=2))
        assert run_of(session, run.id).status == RunStatus.FAILED
        # As if those two minutes had gone by for the handler, too.
        past = "UPDATE task_steps SET result = '\"2026-01-01T00:00:00Z\"' WHERE name = 'moment of the timeout'"
        session.execute(sa.text(past))
        session.commit()

        in_transaction(lambda session: workflows.retry(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.RUNNING
        waiting = session.scalar(
            sa.text("SELECT count(*) FROM tasks WHERE type = 'wait_for_signal' AND status = 'WAITING'")
        )
        assert waiting == 1

    def test_a_retry_does_not_ask_again_for_a_signal_that_was_taken(self, session, begin):
        run = begin({"approved": {"wait_for": "approved", "timeout": 60}}, on_failure="stop")
        work_off(session, after=timedelta(minutes=2))
        # As if the signal had been taken in time, and the step had failed afterwards.
        session.execute(sa.text("UPDATE task_steps SET state = 'DONE', result = '5' WHERE name = 'approved'"))
        session.commit()

        in_transaction(lambda session: workflows.retry(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        assert result_of(session, run, "approved") == {"data": 5, "timed_out": False}

    def test_old_runs_go_with_what_their_tasks_were_told(self, session, begin):
        run = begin({"approved": {"wait_for": "approved"}})
        task = task_of(session, run.id, "approved")
        for name in ("another", "approved"):
            in_transaction(lambda session, name=name: send_signal(session, task.id, name, 1, now=clock.utcnow()))
        work_off(session)
        assert run_of(session, run.id).status == RunStatus.COMPLETED

        ages, later = Ages.in_days(completed=1, failed=1, cancelled=1, events=0), clock.utcnow() + timedelta(days=2)
        session.rollback()
        in_transaction(lambda session: upkeep.prune(session, ages, now=later, limit=10))

        assert session.scalar(sa.text("SELECT count(*) FROM signals")) == 0

    def test_a_step_sleeps_until_a_moment_of_the_input(self, session, begin):
        moment = (clock.utcnow() + timedelta(hours=1)).isoformat()
        run = begin({"until": {"until": {"$from": "input.at"}}, "next": step("until")}, input_={"at": moment})
        assert task_of(session, run.id, "until").status == "WAITING"

        work_off(session, after=timedelta(hours=2))

        assert run_of(session, run.id).status == RunStatus.COMPLETED

    def test_what_waits_is_cancelled_with_its_run(self, session, begin):
        run = begin({"approved": {"wait_for": "approved"}})

        in_transaction(lambda session: workflows.cancel(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.CANCELLED
        assert task_of(session, run.id, "approved").status == "CANCELLED"


class TestItems:
    def test_a_step_runs_for_each_item_and_its_result_is_a_list_in_order(self, session, begin):
        run = begin(
            {
                "ship": step(for_each=EACH, max_parallel=2, payload={"$from": "item.id"}),
                "count": step("ship", type_="uppercase_text", payload={"$text": [{"$from": "steps.ship.result.3"}]}),
            },
            input_={"orders": ORDERS},
        )

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        assert result_of(session, run, "ship") == {"items": 5}
        [ship, _] = workflows.view(session, run_of(session, run.id)).steps
        assert ship.items == ItemCounts(total=5, completed=5, failed=0, running=0)
        assert result_of(session, run, "count") == "3-A"

    def test_items_that_a_definition_of_an_earlier_release_says_are_upgraded(self, session, begin, release):
        old = release(Sized).schema_hash
        items = step("approved", type_="resize", for_each=["s", "m"], payload={"size": {"$from": "item"}})
        run = begin({"approved": {"wait_for": "approved"}, "all": items})
        release(Wide, upgrade={old: lambda payload: {"width": {"s": 1, "m": 2}[payload["size"]]}})

        signal(session, run, "approved", True)

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        done = session.scalars(sa.text("SELECT result #>> '{}' FROM tasks WHERE type = 'resize' ORDER BY id"))
        assert list(done) == ["Wide(width=1)", "Wide(width=2)"]

    def test_all_results_can_be_handed_on(self, session, begin):
        run = begin(
            {
                "first": step(for_each=["ab", "cd"], payload={"$from": "item"}),
                "second": step("first", for_each={"$from": "steps.first.result"}, payload={"$text": [
                    {"$from": "item.index"}, {"$from": "item"}]}),
                "last": step("second", payload={"$from": "steps.second.result.1"}),
            }
        )  # fmt: skip

        assert result_of(session, run, "last") == "1dc"

    def test_never_more_than_max_parallel_are_under_way(self, session, begin):
        create_workflow(session, {"ship": step(for_each=EACH, max_parallel=2, payload={"$from": "item.id"})}, name="n")
        session.commit()

        def start(session):
            workflow = workflows.read_workflow(session, "n", caller=Caller(owner_id=None), now=clock.utcnow())
            new = NewRun(input={"orders": ORDERS})
            return workflows.start(session, workflow, new, owner_id=None, now=clock.utcnow())

        run = in_transaction(start)
        seen = []
        for _ in range(30):
            work_off(session, limit=1, rounds=1)
            query = "SELECT count(*) FROM tasks WHERE parent_id IS NOT NULL AND status IN ('PENDING', 'PROCESSING')"
            seen.append(session.scalar(sa.text(query)))
            session.rollback()

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        assert max(seen) == 2

    def test_what_items_return_stays_with_them_however_much_it_is(self, session, begin, monkeypatch):
        monkeypatch.setattr(children, "MAX_RESULT_BYTES", 1)

        run = begin({"ship": step(for_each=["ab", "cd"], payload={"$from": "item"}),
                     "tell": step("ship", payload={"$from": "steps.ship.result.1"})})  # fmt: skip

        assert (run_of(session, run.id).status, result_of(session, run, "tell")) == ("COMPLETED", "cd")

    def test_the_undos_of_many_items_may_be_more_than_a_step_keeps(self, session, begin, monkeypatch):
        monkeypatch.setattr(asking, "STEP_BYTES", 200)
        undo = {"type": "uppercase_text", "payload": {"$text": ["undo ", {"$from": "item"}]}}
        run = begin(
            {
                "ship": step(for_each=list("abcde"), payload={"$from": "item"}, compensate_with=undo, max_parallel=1),
                "fail": step("ship", payload={"$from": "steps.ship.result.7"}),
            }
        )

        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        query = "SELECT result #>> '{}' FROM tasks WHERE type = 'uppercase_text' ORDER BY finished_at"
        assert session.scalars(sa.text(query)).all() == [f"UNDO {letter}" for letter in "EDCBA"]

    def test_an_empty_list_completes_at_once(self, session, begin):
        run = begin({"ship": step(for_each=EACH, payload={"$from": "item"})}, input_={"orders": []})

        assert (run_of(session, run.id).status, result_of(session, run, "ship")) == ("COMPLETED", {"items": 0})

    @pytest.mark.parametrize("given", ["A-17", {"a": 1}, None])
    def test_what_is_no_list_fails_the_step(self, session, begin, given):
        run = begin({"ship": step(for_each=EACH, payload={"$from": "item"})}, input_={"orders": given})

        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        assert "for_each: must come to a list" in run_of(session, run.id).reason

    def test_a_retry_goes_on_with_the_items_that_failed(self, session, begin):
        drills = [{}, {"message": "broken"}, {}]
        run = begin(
            {"drill": step(type_="drill", for_each=drills, payload={"$from": "item"}, retry={"max_retries": 0})},
            on_failure="stop",
        )
        assert run_of(session, run.id).status == RunStatus.FAILED
        session.execute(sa.text("UPDATE tasks SET payload = '{}' WHERE payload ? 'message'"))
        session.commit()

        in_transaction(lambda session: workflows.retry(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        attempts = session.scalars(sa.text("SELECT attempt FROM tasks WHERE type = 'drill' ORDER BY id")).all()
        assert attempts == [1, 2, 1]

    def test_completed_items_are_undone_also_where_another_one_failed(self, session, begin):
        run = begin(
            {
                "print": step(
                    for_each=[pdf("One"), pdf("Two"), {"template": "report", "data": {"title": 5}}],
                    type_="generate_pdf",
                    payload={"$from": "item"},
                )
            }
        )
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        assert undone(session, run.id)["print"] == "DONE"

    def test_items_are_undone_by_what_the_step_says_the_last_first(self, session, begin):
        undo = {"type": "uppercase_text", "payload": {"$text": [
            "undo ", {"$from": "item"}, " ", {"$from": "steps.ship.result"}]}}  # fmt: skip
        run = begin(
            {
                "ship": step(for_each=["ab", "cd"], payload={"$from": "item"}, compensate_with=undo, max_parallel=1),
                "fail": step("ship", payload={"$from": "steps.ship.result.7"}),
            }
        )

        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        query = "SELECT result #>> '{}' FROM tasks WHERE type = 'uppercase_text' ORDER BY finished_at"
        assert session.scalars(sa.text(query)).all() == ["UNDO CD DC", "UNDO AB BA"]


class TestOtherWorkflows:
    INNER = {"reverse": step(payload={"$from": "input.word"})}

    def test_a_step_runs_another_workflow_and_gets_the_results_of_its_last_steps(self, session, begin):
        create_workflow(session, self.INNER, name="inner")
        run = begin(
            {
                "inner": {"workflow": "inner", "input": {"word": {"$from": "input.word"}}},
                "shout": step("inner", type_="uppercase_text", payload={"$from": "steps.inner.result.results.reverse"}),
            },
            input_={"word": "abc"},
        )

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        assert result_of(session, run, "shout") == "CBA"
        inner = session.execute(sa.text("SELECT parent_id FROM workflow_runs WHERE workflow_name = 'inner'")).one()
        assert inner.parent_id == task_of(session, run.id, "inner").id

    def test_a_run_that_fails_has_undone_itself_and_fails_its_step(self, session, begin):
        create_workflow(session, {"print": step(type_="generate_pdf", payload=pdf()),
                                  "fail": step("print", payload={"$from": "input.nothing"})}, name="inner")  # fmt: skip
        run = begin({"inner": {"workflow": "inner"}})

        inner = session.scalar(sa.text("SELECT id FROM workflow_runs WHERE workflow_name = 'inner'"))
        assert run_of(session, inner).status == RunStatus.COMPENSATED
        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        assert "is COMPENSATED" in run_of(session, run.id).reason

    def test_a_completed_run_is_undone_inside_the_undo_of_its_parent(self, session, begin):
        create_workflow(session, {"print": step(type_="generate_pdf", payload=pdf())}, name="inner")
        run = begin({"inner": {"workflow": "inner"}, "fail": step("inner", payload={"$from": "input.nothing"})})

        inner = session.scalar(sa.text("SELECT id FROM workflow_runs WHERE workflow_name = 'inner'"))
        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        assert run_of(session, inner).status == RunStatus.COMPENSATED
        assert undone(session, run.id)["inner"] == undone(session, inner)["print"] == "DONE"

    def test_a_run_is_cancelled_with_the_run_that_it_is_a_step_of(self, session, begin):
        create_workflow(session, {"approved": {"wait_for": "approved"}}, name="inner")
        run = begin({"inner": {"workflow": "inner"}})

        in_transaction(lambda session: workflows.cancel(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        inner = session.scalar(sa.text("SELECT id FROM workflow_runs WHERE workflow_name = 'inner'"))
        assert run_of(session, run.id).status == run_of(session, inner).status == RunStatus.CANCELLED

    def test_a_retry_goes_on_in_the_run_that_failed(self, session, begin):
        broken = step(type_="drill", payload={"message": "broken"}, retry={"max_retries": 0})
        create_workflow(session, {"drill": broken}, name="inner", on_failure="stop")
        run = begin({"inner": {"workflow": "inner"}}, on_failure="stop")
        assert run_of(session, run.id).status == RunStatus.FAILED
        session.execute(sa.text("UPDATE tasks SET payload = '{}' WHERE payload ? 'message'"))
        session.commit()

        in_transaction(lambda session: workflows.retry(session, run.id, visible_to=None, now=clock.utcnow()))
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.COMPLETED
        assert session.scalar(sa.text("SELECT count(*) FROM workflow_runs WHERE workflow_name = 'inner'")) == 1

    def test_a_workflow_that_runs_itself_comes_to_an_end(self, session, begin):
        run = begin({"again": {"workflow": "endless"}}, name="endless")
        work_off(session)

        assert run_of(session, run.id).status == RunStatus.COMPENSATED
        assert session.scalar(sa.text("SELECT count(*) FROM workflow_runs")) <= 9

    def test_a_missing_workflow_fails_the_step(self, session, begin):
        run = begin({"inner": {"workflow": "nobody"}})

        assert "there is no workflow 'nobody'" in run_of(session, run.id).reason.lower()

    def test_each_item_can_be_a_run(self, session, begin):
        create_workflow(session, self.INNER, name="inner")
        run = begin(
            {"each": {"workflow": "inner", "for_each": ["ab", "cd"], "input": {"word": {"$from": "item"}}},
             "last": step("each", payload={"$from": "steps.each.result.1.results.reverse"})}
        )  # fmt: skip

        assert result_of(session, run, "last") == "cd"
