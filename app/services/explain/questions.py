"""Gathering the evidence: a handful of reads by primary key and of tables with a few rows."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import NOT_PARKED, Status, TaskRecord
from app.services import admission, schedules, signals, workflows
from app.services.dispatch import queues, workers
from app.services.dispatch.workers import WorkerSeen
from app.services.explain.answers import Answer
from app.services.explain.causes import rank
from app.services.explain.evidence import DispatcherSeen, Evidence, Line
from app.services.explain.run_causes import rank_run
from app.services.explain.slot_causes import rank_schedule
from app.services.measuring import levels
from app.services.measuring.levels import Levels
from app.services.tasks import checkpoints, waits
from app.services.tasks.records import read

_DISPATCHER = sa.text("SELECT last_success_at, last_error FROM duties WHERE name = 'dispatch'")
_LAST = sa.text("""
    SELECT status, due_at IS NOT NULL AS is_busy
    FROM tasks
    WHERE id = :task
    UNION ALL
    SELECT status, finished_at IS NULL
    FROM workflow_runs
    WHERE id = :run
""")
_PASSED = sa.text("SELECT passed_at FROM queue_positions WHERE queue = :queue AND priority = :priority")
_EARLIER = sa.text(f"""
    SELECT count(*)
    FROM tasks
    WHERE {NOT_PARKED}
        AND status = 'PENDING'
        AND dispatched_at IS NOT NULL
        AND queue = :queue
        AND (
            priority = ANY(CAST(:before AS text[]))
            OR (priority = :priority AND (dispatched_at, id) < (:dispatched_at, CAST(:id AS uuid)))
        )
""")


MAX_CHILDREN = 20  # that are named
_OPEN_CHILDREN = sa.text("""
    SELECT child_id, count(*) OVER () AS children
    FROM task_steps
    WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL
    ORDER BY seq
    LIMIT :most
""")


def why(session: Session, task_id: UUID, *, owner: UUID | None, now: datetime) -> Answer:
    """The cause of where a task stands. `owner` as in tasks.read. Raises NotFound."""
    return rank(gather(session, read(session, task_id, owner=owner), viewer=owner, now=now))


def why_schedule(session: Session, schedule_id: UUID, *, owner: UUID | None, now: datetime) -> Answer:
    """Why a schedule does not fire now. Raises NotFound."""
    schedule = schedules.read(session, schedule_id, visible_to=owner)
    last = session.execute(_LAST, {"task": schedule.last_task_id, "run": schedule.last_run_id}).first()
    last_status, is_busy = (None, False) if last is None else (last.status, last.is_busy)
    return rank_schedule(schedule, last_status=last_status, is_busy=is_busy, now=now)


def why_run(session: Session, run_id: UUID, *, owner: UUID | None, now: datetime) -> Answer:
    """Why a workflow's run has not ended. Raises NotFound."""
    return rank_run(workflows.view(session, workflows.read(session, run_id, visible_to=owner)), now=now)


def gather(session: Session, task: TaskRecord, *, viewer: UUID | None, now: datetime) -> Evidence:
    """All that the rules look at; of a finished task, nothing but itself. `viewer`: whose tasks may be named in it."""
    if task.is_finished:
        return Evidence(task=task, now=now)
    if task.status == Status.PROCESSING:
        holder = workers.one(session, task.leased_by) if task.leased_by else None
        return Evidence(task=task, now=now, holder=holder, checkpoint=checkpoints.told(session, task.id))
    if task.status == Status.WAITING:
        return _suspended(session, task, now=now)
    live, paused = workers.alive(session, now=now), {(each.kind, each.name): each for each in queues.pauses(session)}
    position = {"queue": task.queue, "priority": task.priority}
    return Evidence(
        task=task,
        now=now,
        paused_type=paused.get(("type", task.type)),
        paused_queue=paused.get(("queue", task.queue)),
        workers=live,
        dispatcher=_dispatcher(session),
        passed_at=session.scalar(_PASSED, position),
        line=_line(session, task, live, now) if task.dispatched_at is not None else None,
        obstacle=admission.obstacle(session, task.id, viewer=viewer, now=now) if task.admission_required else None,
    )


def _suspended(session: Session, task: TaskRecord, *, now: datetime) -> Evidence:
    open_children = session.execute(_OPEN_CHILDREN, {"id": task.id, "most": MAX_CHILDREN}).all()
    return Evidence(
        task=task,
        now=now,
        wait=waits.of(task),
        untaken=signals.untaken(session, task.id),
        children=[row.child_id for row in open_children],
        unended_children=open_children[0].children if open_children else 0,
    )


def _dispatcher(session: Session) -> DispatcherSeen | None:
    row = session.execute(_DISPATCHER).first()
    return None if row is None else DispatcherSeen(last_success_at=row.last_success_at, last_error=row.last_error)


def _line(session: Session, task: TaskRecord, live: list[WorkerSeen], now: datetime) -> Line:
    snapshot = levels.read(session, now=now)
    ahead, is_exact = _ahead(session, task, snapshot)
    types = {each.type for each in snapshot.levels if each.queue == task.queue} | {task.type}
    types |= {name for name, home in queues.homes().items() if home == task.queue}
    flow = snapshot.flow_of(types)
    return Line(
        ahead=ahead,
        is_exact=is_exact,
        started_per_second=flow.started,
        started_lately=flow.started_lately,
        concurrency=sum(each.concurrency for each in live if task.queue in each.queues),
        busy=snapshot.count(Status.PROCESSING, queue=task.queue),
    )


def _ahead(session: Session, task: TaskRecord, snapshot: Levels) -> tuple[int, bool]:
    """How many are before it, and whether they were counted: in a long line its place is told from marks."""
    first = levels.ahead_of(task.priority)
    marks = snapshot.marks.get((task.queue, task.priority))
    if marks is not None and task.dispatched_at is not None:
        higher = sum(
            each.tasks - each.held
            for priority in first
            for each in snapshot.having(Status.PENDING, queue=task.queue, priority=priority)
        )
        return higher + levels.place_in_line(marks, task.dispatched_at), False
    parameters = {"queue": task.queue, "priority": task.priority, "before": list(first), "id": task.id}
    return session.scalar(_EARLIER, {**parameters, "dispatched_at": task.dispatched_at}) or 0, True
