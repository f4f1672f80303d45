"""Starting a repair: what a dry run has counted becomes one row with its tasks, once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, Refused
from app.models import REPAIR_ACTIVE, RepairRecord, RepairStatus, new_id
from app.models.repair import NOBODY
from app.services.accounts import audit
from app.services.accounts.allowance import Allowance
from app.services.accounts.audit import Actor
from app.services.repairs.choice import Choice
from app.services.repairs.pacing import Spec
from app.services.repairs.records import ITEMS, REPAIRS, read
from app.services.tasks.dead_letters import TASKS

MAX_TASKS = 100_000
NO_REPAIR = UUID(NOBODY)
_LOCK_TYPE = sa.text("SELECT pg_advisory_xact_lock(hashtext('taskledger.repairs'), hashtext(:type))")
# An account's tasks, or everybody's: two choices overlap unless they are two accounts'.
_ACTIVE = sa.text("""
    SELECT id, owner_id, visible_to, status
    FROM repairs
    WHERE type = :type
        AND status = ANY(:active)
        AND (visible_to IS NULL OR CAST(:visible_to AS uuid) IS NULL OR visible_to = :visible_to)
        AND id <> :except_id
    LIMIT 1
""")
_OF_TOKEN = sa.text("SELECT id FROM repairs WHERE token_hash = :token_hash")


class RepairUnderWay(Conflict):
    """Another repair has tasks of this type, and is not over."""

    code = "repair_under_way"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is asked for, as the dry run has counted it."""

    choice: Choice
    patch: Sequence[dict[str, Any]] | None
    spec: Spec

    def as_json(self) -> dict[str, Any]:
        """As a token and a row hold it."""
        pace = {name: getattr(self.spec, name) for name in Spec.__slots__}
        return {"filter": self.choice.as_json(), "patch": self.patch, **pace}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Plan":
        """What `as_json` said."""
        spec = Spec(**{name: said[name] for name in Spec.__slots__})
        return cls(choice=Choice.from_json(said["filter"]), patch=said["patch"], spec=spec)


def path_of(repair_id: UUID) -> str:
    """Where a repair is read."""
    return f"/api/v1/repairs/{repair_id}"


def check_free(session: Session, type_name: str, *, visible_to: UUID | None, now_active: UUID = NO_REPAIR) -> None:
    """Raises RepairUnderWay, which names it, while another repair may have the same tasks.

    None can begin until the transaction ends. `now_active`: a repair that does not count.
    """
    session.execute(_LOCK_TYPE, {"type": type_name})
    named = {"type": type_name, "active": sorted(REPAIR_ACTIVE), "visible_to": visible_to, "except_id": now_active}
    other = session.execute(_ACTIVE, named).first()
    if other is None:
        return
    if visible_to is None or other.visible_to == visible_to == other.owner_id:
        where = f"{path_of(other.id)} is {other.status}: wait until it is over, or stop it"
    else:
        where = "An admin's repair of them is under way: wait until it is over"
    raise RepairUnderWay(f"A task belongs to one unfinished repair at most, and a type has one. {where}.")


def start(
    session: Session,
    plan: Plan,
    *,
    token: str,
    owner_id: UUID,
    visible_to: UUID | None,
    allowance: Allowance,
    actor: Actor,
    now: datetime,
) -> RepairRecord:
    """Make the repair of a dry run; the duty of the dispatcher does the rest.

    Raises Refused (the token was used, too many tasks, none), RepairUnderWay, TypeNotAllowed.
    """
    choice = plan.choice
    allowance.check_types([choice.type])
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    session.execute(_LOCK_TYPE, {"type": choice.type})  # who has the same token waits here, and then finds its repair
    used = session.scalar(_OF_TOKEN, {"token_hash": token_hash})
    if used is not None:
        raise Refused({"token": [f"was used already, for {path_of(used)}: do the dry run again"]})
    check_free(session, choice.type, visible_to=visible_to)
    repair_id = new_id()
    count = _take(session, repair_id, choice, visible_to)
    status = RepairStatus.CANARY if plan.spec.canary else RepairStatus.RUNNING
    values = {
        "id": repair_id,
        "owner_id": owner_id,
        "visible_to": visible_to,
        "type": choice.type,
        "token_hash": token_hash,
        "status": status,
        "spec": plan.as_json(),
        "failed_before": choice.failed_before,
        "tasks": count,
        "remaining": count,
        "created_at": now,
    }
    session.execute(sa.insert(REPAIRS).values(**values))
    told = {"type": choice.type, "count": count, "filter": choice.as_json(), "patched": plan.patch is not None}
    audit.record(session, "repair.started", actor, now=now, subject=f"repair:{repair_id}", **told)
    return read(session, repair_id, visible_to=visible_to)


def _take(session: Session, repair_id: UUID, choice: Choice, owner: UUID | None) -> int:
    chosen = sa.select(sa.literal(repair_id, sa.Uuid), TASKS.c.id).where(*choice.conditions(session, owner=owner))
    chosen = chosen.order_by(TASKS.c.id).limit(MAX_TASKS + 1)
    taken: Any = session.execute(sa.insert(ITEMS).from_select(["repair_id", "task_id"], chosen))
    count: int = taken.rowcount
    check_count(count)
    return count


def check_count(count: int) -> None:
    """Raises Refused for more tasks than a repair may have, and for none."""
    if count > MAX_TASKS:
        raise Refused(
            {"filter": [f"matches more than {MAX_TASKS} dead letters: narrow it, by created_before for example"]}
        )
    if not count:
        raise Refused({"filter": ["matches no dead letter any more: do the dry run again"]})
