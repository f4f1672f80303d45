"""Repairs as the API and the dashboard ask for them: what a request says becomes a plan, a dry run and a repair."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.clock import utcnow
from app.database import Session
from app.errors import Refused
from app.models import RepairRecord
from app.services import repairs
from app.services.encryption import ciphertexts
from app.services.repairs import Choice, Plan, Preview, Spec, patching
from app.services.repairs.patching import Patch
from app.web import quotas
from app.web.access import current_actor, current_principal
from app.web.current_settings import current_settings
from app.web.requests.dry_run import choice_in, token_for
from app.web.transactions import transaction
from taskledger_sdk.registry import get_type
from tasks.masking import masked

ACTION = "repairs"
TRIED_SECONDS = 3.0
"""How long a dry run tries the patch; of very large payloads it tries fewer."""
UNDONE_SECONDS = 3.0
"""How long a request that undoes a repair works at it; the dispatcher does the rest."""
DEFAULT_CANARY, DEFAULT_PER_SECOND, DEFAULT_RATIO = 20, 10.0, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """What a repair would do, and the token that starts it; None when there is nothing to do."""

    preview: Preview
    token: str | None
    plan: Plan


def plan_of(filter_: Mapping[str, Any], patch: Any, **pace: Any) -> tuple[Plan, Patch | None]:
    """What is asked for. Raises Refused for a patch that does not suit the type, UnknownTaskType."""
    said = dict(filter_)
    labels = [(key, value) for key, _, value in (label.partition(":") for label in said.pop("label", ()))]
    said["text"] = said.pop("q", None)
    said.pop("status", None)
    # What fails from now on was not counted, so it is not replayed either.
    said["failed_before"] = min(filter(None, (said.get("failed_before"), utcnow())))
    choice = Choice(**said, labels=tuple(labels))
    kind = get_type(choice.type)
    checked = None
    if patch is not None:
        checked = patching.checked(patch, kind, max_bytes=current_settings().max_payload_bytes)
    return Plan(choice=choice, patch=patch, spec=Spec(**pace)), checked


def dry_run(session: Session, plan: Plan, patch: Patch | None, *, visible_to: UUID | None) -> DryRun:
    """Count, and try the patch. Raises TypeNotAllowed, RepairUnderWay, or Refused for too many tasks."""
    quotas.allowance_in(session).check_types([plan.choice.type])
    repairs.check_free(session, plan.choice.type, visible_to=visible_to)
    until = time.monotonic() + TRIED_SECONDS
    found = repairs.preview_of(
        session, plan.choice, patch, owner=visible_to, is_time_up=lambda: time.monotonic() > until
    )
    if not found.count:
        return DryRun(preview=found, token=None, plan=plan)
    repairs.check_count(found.count)
    token = token_for(ACTION, {**plan.as_json(), "nonce": uuid4().hex})
    return DryRun(preview=found, token=token, plan=plan)


def start(token: str | None, asked: Mapping[str, Any], *, visible_to: UUID | None) -> RepairRecord:
    """Start what a dry run has counted. `asked`: what the request says beside the token, which must be the same.

    Raises Refused, RepairUnderWay, TypeNotAllowed.
    """
    said = choice_in(ACTION, token)
    _check_same(said, asked)
    plan = Plan.from_json(said)
    with transaction() as session:
        return repairs.start(
            session,
            plan,
            token=str(token),
            owner_id=current_principal().user_id,
            visible_to=visible_to,
            allowance=quotas.allowance_in(session),
            actor=current_actor(),
            now=utcnow(),
        )


def _check_same(counted: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises Refused when the request says something else than its dry run did."""
    given = dict(asked)
    filter_ = given.pop("filter", None)
    if filter_ is not None:
        plan, _ = plan_of(filter_, None, canary=0, per_second=1, stop_above_failure_ratio=None)
        now, then = plan.choice.as_json(), dict(counted["filter"])
        if "failed_before" not in filter_:
            for each in (now, then):
                each.pop("failed_before")
        if now != then:
            raise Refused({"filter": ["is not what the dry run has counted: do it again, or send the token alone"]})
    for name, value in given.items():
        if value != counted[name]:
            raise Refused({name: ["is not what the dry run was given: do it again, or send the token alone"]})


def steer(repair_id: UUID, what: str, *, visible_to: UUID | None, by: str | None = None) -> RepairRecord:
    """Pause, resume, stop or undo a repair; what can be undone soon is undone when this returns."""
    with transaction() as session:
        repair = repairs.steer(
            session,
            repair_id,
            what,
            visible_to=visible_to,
            allowance=quotas.allowance_in(session),
            actor=current_actor(),
            by=by,
            now=utcnow(),
        )
    until = time.monotonic() + UNDONE_SECONDS
    while repair.status == "UNDOING" and time.monotonic() < until:
        with transaction() as session:
            repairs.step(session, repair_id, settings=current_settings(), now=utcnow())
            repair = repairs.read(session, repair_id, visible_to=visible_to)
    return repair


def shown_examples(found: DryRun) -> list[dict[str, Any]]:
    """Payloads before and after, without secrets."""
    kind = get_type(found.plan.choice.type)

    def shown(payload: Any) -> Any:
        return ciphertexts.MASKED if kind.sensitive else masked(kind.name, payload)

    return [
        {"task_id": each.task_id, "before": shown(each.before), "after": shown(each.after)}
        for each in found.preview.sample
    ]


def view_of(session: Session, repair: RepairRecord, *, now: datetime) -> dict[str, Any]:
    """A repair as it is shown, with how fast it goes."""
    return {"repair": repair, "rate": repairs.rate(session, repair, now=now)}


def views_of(session: Session, found: Sequence[RepairRecord], *, now: datetime) -> list[dict[str, Any]]:
    """Several."""
    return [view_of(session, repair, now=now) for repair in found]
