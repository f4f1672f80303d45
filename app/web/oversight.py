"""What admins do with what is somebody else's: each leaves an entry in the audit log, from here and not the routes.

A request that names one thing leaves its entry before anything is done, so that there is none without; what is refused
afterwards has one, too. A list leaves one entry a request. The same read again within ten minutes leaves none.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, Response, g, request

from app.clock import utcnow
from app.database import Base
from app.models import Artifact, OutsideEvent, Repair, Schedule, Task, Trigger, Webhook, Workflow, WorkflowRun
from app.services.accounts import audit
from app.web.access import current_actor, current_principal
from app.web.transactions import transaction

QUIET_SECONDS = 600.0  # pages renew themselves every few seconds
MAX_READS_KEPT = 10_000
READS = ("GET", "HEAD")
KINDS: dict[str, tuple[str, type[Base]]] = {
    "task_id": ("task", Task),
    "run_id": ("run", WorkflowRun),
    "schedule_id": ("schedule", Schedule),
    "webhook_id": ("webhook", Webhook),
    "artifact_id": ("artifact", Artifact),
    "repair_id": ("repair", Repair),
    "trigger_id": ("trigger", Trigger),
    "event_id": ("event", OutsideEvent),
}
"""Parameters of routes that name a thing with an owner."""
COPIED = "copy_of"  # the parameter of a page that shows a task in a form, to submit another like it
WORKFLOWS = Workflow.__table__
TASKS = Task.__table__


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """What a request names; `owner_id` None: the service's own."""

    subject: str
    owner_id: UUID | None


class Reads:
    """What was read a short while ago, in this process."""

    def __init__(self) -> None:
        self._until: dict[Any, float] = {}
        self._lock = threading.Lock()

    def is_known(self, read: Any) -> bool:
        """Whether this was read within the last QUIET_SECONDS."""
        return time.monotonic() < self._until.get(read, 0.0)

    def add(self, read: Any) -> None:
        """Remember that this was read now."""
        with self._lock:
            if len(self._until) >= MAX_READS_KEPT:
                self._until.clear()
            self._until[read] = time.monotonic() + QUIET_SECONDS


@dataclass(kw_only=True, slots=True)
class Tally:
    """How many things were changed so far."""

    count: int = 0


_reads = Reads()


def _is_admin() -> bool:
    principal = g.get("principal")
    return principal is not None and principal.is_admin


def look_at_the_named() -> None:
    """Before a request: an entry when an admin names a thing of somebody else's."""
    if not _is_admin() or not request.view_args or request.url_rule is None:
        return
    me = current_principal().user_id
    arguments = dict(request.view_args)
    if COPIED in request.args:
        arguments.setdefault("task_id", request.args[COPIED])
    named, thing = _named(arguments, request.url_rule.rule, me)
    g.names_a_thing = named
    if thing is None or thing.owner_id == me or (thing.owner_id is None and request.method in READS):
        return
    asked = {name: str(value) for name, value in request.view_args.items() if name == "action"}
    _tell(thing.subject, owner=thing.owner_id and str(thing.owner_id), **asked)


def _named(arguments: dict[str, Any], rule: str, me: UUID) -> tuple[bool, Thing | None]:
    """Whether the route names a thing, and the thing if there is one."""
    for parameter, (kind, model) in KINDS.items():
        if parameter in arguments:
            try:
                id_ = UUID(str(arguments[parameter]))
            except ValueError:
                return True, None  # the route answers 404
            table = model.__table__
            query = sa.select(table.c.id, table.c.owner_id).where(table.c.id == id_)
            return True, _first(kind, query)
    if "/workflows/<name>" not in rule:
        return False, None
    name = str(arguments["name"])
    mine, services = WORKFLOWS.c.owner_id.is_not_distinct_from(me), WORKFLOWS.c.owner_id.is_(None)
    order = (mine.desc(), services.desc(), WORKFLOWS.c.id.desc())  # as app.services.workflows.definitions.read
    query = sa.select(WORKFLOWS.c.id, WORKFLOWS.c.owner_id).where(WORKFLOWS.c.name == name).order_by(*order).limit(1)
    return True, None if "\0" in name else _first("workflow", query)


def _first(kind: str, query: sa.Select[Any]) -> Thing | None:
    with transaction(autocommit=True) as session:
        row = session.execute(query).first()
    return None if row is None else Thing(subject=f"{kind}:{row.id}", owner_id=row.owner_id)


def look_at_the_listed(response: Response) -> Response:
    """After a request: an entry when an admin was shown a list of everybody's things that holds some of others."""
    is_list = g.get("sees_everything") and not g.get("names_a_thing") and request.method in READS
    if is_list and response.status_code < 400 and not _is_all_mine(response):
        _tell(None, parameters=sorted(request.args))
    return response


def _is_all_mine(response: Response) -> bool:
    """Whether an answer in JSON lists nothing but things of the caller, or of nobody."""
    if response.is_streamed or not response.is_json:
        return False
    answer = response.get_json(silent=True)
    items = answer.get("items") if isinstance(answer, dict) else None
    mine = (None, str(current_principal().user_id))
    return isinstance(items, list) and all("owner" in item and item["owner"] in mine for item in items)


def _tell(subject: str | None, **detail: Any) -> None:
    principal, endpoint = current_principal(), request.endpoint or ""
    read = (principal.user_id, principal.key_id, endpoint, subject or request.full_path)
    is_read = request.method in READS
    if is_read and _reads.is_known(read):
        return
    detail |= {"method": request.method, "route": request.url_rule.rule if request.url_rule else ""}
    with transaction() as session:
        action = f"admin.{endpoint.rpartition('.')[2]}"
        audit.record(session, action, current_actor(), now=utcnow(), subject=subject, **detail)
    if is_read:
        _reads.add(read)


@contextmanager
def counted(begun: str, done: str, *, subject: str | None = None, **detail: Any) -> Iterator[Tally]:
    """Around a change of many things by an admin: an entry before it, and one after it with how many there were.

    The second tells the truth, too, when the change ends with an error half-way. `detail` says which were meant.
    """
    tally = Tally()
    if not _is_admin():
        yield tally
        return
    actor = current_actor()
    with transaction() as session:
        audit.record(session, begun, actor, now=utcnow(), subject=subject, **detail)
    try:
        yield tally
    finally:
        with transaction() as session:
            audit.record(session, done, actor, now=utcnow(), subject=subject, count=tally.count, **detail)


def look_at_selected(action: str, ids: Iterable[UUID]) -> None:
    """Before an admin changes selected tasks: one entry that names those of somebody else."""
    if not _is_admin():
        return
    others = TASKS.c.owner_id.is_distinct_from(current_principal().user_id)
    with transaction() as session:
        theirs = session.scalars(sa.select(TASKS.c.id).where(TASKS.c.id.in_(list(ids)), others)).all()
        if theirs:
            named = sorted(map(str, theirs))
            detail: dict[str, Any] = {"count": len(named), "ids": named, "action": action}
            audit.record(session, "admin.act_on_selected", current_actor(), now=utcnow(), **detail)


def register(app: Flask) -> None:
    """Look at every request; after the gate, which knows who is calling."""
    app.before_request(look_at_the_named)
    app.after_request(look_at_the_listed)
