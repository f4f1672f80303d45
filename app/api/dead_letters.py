"""/dead-letters: what has FAILED, by cause; replaying and purging many at once, after a dry run has counted them."""

import re
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.clock import utcnow
from app.errors import NotFound
from app.models import TaskRecord
from app.models.page import Page
from app.services.accounts.quotas import QuotaReached
from app.services.tasks import dead_letter_group, dead_letters, replay
from app.services.tasks.dead_letter_group import GroupDetails
from app.services.tasks.dead_letters import DeadLetterFilter
from app.web import quotas
from app.web.access import visible_owner
from app.web.blueprint import Blueprint
from app.web.dead_letter_choice import DEAD_LETTER_ACTIONS, dead_letter_filter
from app.web.fields import Instant, QueryMoment, matching, type_name
from app.web.oversight import counted
from app.web.requests.dry_run import choice_in, token_for
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import TaskList, TaskView
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict

blueprint = Blueprint("dead_letters", __name__, url_prefix="/api/v1", description="Tasks that are FAILED")

FINGERPRINT = r"[0-9a-f]{16}"
FINGERPRINT_PARAMETER = [
    {"name": "fingerprint", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{FINGERPRINT}$"}}
]


def _counts(description: str) -> ma.fields.Dict:
    return ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": description},
    )


class DeadLetterQuery(PageQuery):
    """Query parameters of the list."""

    type = type_name(metadata={"description": "Of this type"})
    fingerprint = matching(FINGERPRINT, "is no fingerprint", metadata={"description": "With this cause"})
    failed_after = QueryMoment(metadata={"description": "Failed then or later"})
    failed_before = QueryMoment(metadata={"description": "Failed earlier"})


class DeadLetterChoice(StrictSchema):
    """Which dead letters a replay or a purge is about; an empty one means all."""

    type = type_name()
    fingerprint = matching(FINGERPRINT, "is no fingerprint")
    failed_after = strict.Moment()
    failed_before = strict.Moment()


class MassChange(StrictSchema):
    """First with dry_run, which counts and returns a token; then with that token alone."""

    filter = ma.fields.Nested(DeadLetterChoice, load_default=dict)
    dry_run = strict.Flag(load_default=False, metadata={"description": "Count only"})
    token = strict.Text(
        validate=validate.Length(1, 2_000, error="is no token"), metadata={"description": "From the dry run"}
    )


class MassChangeView(ma.Schema):
    """What would be, or was, changed."""

    count = ma.fields.Integer(required=True)
    token = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Send it within 15 minutes to do it; null once done"}
    )


class GroupView(ma.Schema):
    """Dead letters with one cause."""

    fingerprint = ma.fields.String(required=True, allow_none=True)
    type = ma.fields.String(required=True)
    error_type = ma.fields.String(required=True, allow_none=True)
    message = ma.fields.String(required=True, allow_none=True, metadata={"description": "Of one of them"})
    count = ma.fields.Integer(required=True)
    first_at = Instant(required=True)
    last_at = Instant(required=True)
    example_id = ma.fields.UUID(required=True)


class GroupList(ma.Schema):
    """Causes, most frequent first."""

    items = ma.fields.List(ma.fields.Nested(GroupView), required=True)


class HourView(ma.Schema):
    """An hour."""

    at = Instant(required=True, metadata={"description": "Its beginning"})
    count = ma.fields.Integer(required=True)


class WorkerShareView(ma.Schema):
    """A worker on which some of them failed."""

    worker = ma.fields.String(required=True)
    release = ma.fields.String(required=True, allow_none=True, metadata={"description": "null: not known any more"})
    count = ma.fields.Integer(required=True)


class GroupDetailsView(ma.Schema):
    """Dead letters with one cause, in detail."""

    fingerprint = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)
    types = _counts("By task type")
    first_at = Instant(required=True, metadata={"description": "When the first of them failed"})
    last_at = Instant(required=True, metadata={"description": "When the latest of them failed"})
    last_hour = ma.fields.Integer(required=True, metadata={"description": "How many failed in the last 60 minutes"})
    last_day = ma.fields.Integer(required=True, metadata={"description": "How many failed in the last 24 hours"})
    hours = ma.fields.List(
        ma.fields.Nested(HourView), required=True, metadata={"description": "The last 24, oldest first"}
    )
    looked_at = ma.fields.Integer(
        required=True, metadata={"description": "So many of the newest were asked for workers and releases"}
    )
    workers = ma.fields.List(ma.fields.Nested(WorkerShareView), required=True)
    releases = _counts("By release of the service on the worker")
    example = ma.fields.Nested(TaskView, required=True, metadata={"description": "The newest"})


@blueprint.get("/dead-letters")
@blueprint.pages(TaskList(), "dead-letters", query=DeadLetterQuery())
def list_dead_letters(query: dict[str, Any]) -> Page[TaskRecord]:
    """List FAILED tasks, newest first."""
    before, limit = query.pop("before"), query.pop("limit")
    wanted = DeadLetterFilter(**query, owner_id=visible_owner())
    with transaction() as session:
        return dead_letters.find(session, wanted, before=before, limit=limit)


@blueprint.get("/dead-letters/groups")
@blueprint.response(200, GroupList())
def list_groups() -> dict[str, Any]:
    """List the causes of the last 30 days."""
    with transaction() as session:
        return {"items": dead_letters.groups(session, owner=visible_owner(), now=utcnow())}


@blueprint.get("/dead-letters/groups/<fingerprint>", parameters=FINGERPRINT_PARAMETER)
@blueprint.response(200, GroupDetailsView())
def read_dead_letter_group(fingerprint: str) -> GroupDetails:
    """Read one cause: since when, how often, of which types, on which workers and releases, and an example."""
    if not re.fullmatch(FINGERPRINT, fingerprint):
        raise NotFound("There is no such cause: a fingerprint has 16 digits of 0-9 and a-f.")
    with transaction() as session:
        return dead_letter_group.read_group(session, fingerprint, owner=visible_owner(), now=utcnow())


@blueprint.post("/dead-letters/replay")
@blueprint.arguments(MassChange())
@blueprint.response(200, MassChangeView())
@blueprint.problem(403, "Some are of a task type that the account, or its API key, may not use")
@blueprint.problem(422, "No token, or one that is not valid any more")
@blueprint.problem(429, "There is no room for so many waiting tasks; how many were started over is said")
def replay_dead_letters(asked: dict[str, Any]) -> dict[str, Any]:
    """Start all that match over; first with dry_run."""
    return _mass_change("replay", asked)


@blueprint.post("/dead-letters/purge")
@blueprint.arguments(MassChange())
@blueprint.response(200, MassChangeView())
@blueprint.problem(422, "No token, or one that is not valid any more")
def purge_dead_letters(asked: dict[str, Any]) -> dict[str, Any]:
    """Delete all that match, with their history; first with dry_run."""
    return _mass_change("purge", asked)


def _mass_change(action: str, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["dry_run"]:
        # What fails from now on was not counted, so it is not changed either.
        wanted = DeadLetterFilter(**{"failed_before": utcnow(), **asked["filter"]}, owner_id=visible_owner())
        with transaction() as session:
            if action == "replay":
                replay.check_all(session, wanted, allowance=quotas.allowance_in(session))
            return {"count": dead_letters.count(session, wanted), "token": _token(action, wanted)}
    wanted = _from_token(action, asked.get("token"))
    with counted(*DEAD_LETTER_ACTIONS[action], filter=dead_letter_filter(wanted)) as done:
        try:
            while changed := _batch(action, wanted):
                done.count += changed
        except QuotaReached as error:
            if not done.count:
                raise
            raise QuotaReached(f"{done.count} were started over, the others were not. {error}") from None
    return {"count": done.count, "token": None}


def _batch(action: str, wanted: DeadLetterFilter) -> int:
    with transaction() as session:
        if action == "purge":
            return dead_letters.purge_batch(session, wanted)
        return replay.replay_batch(session, wanted, now=utcnow(), allowance=quotas.allowance_in(session))


def _token(action: str, wanted: DeadLetterFilter) -> str:
    return token_for(f"dead-letters.{action}", dead_letter_filter(wanted))


def _from_token(action: str, token: str | None) -> DeadLetterFilter:
    said = choice_in(f"dead-letters.{action}", token)
    return DeadLetterFilter(
        type=said["type"],
        fingerprint=said["fingerprint"],
        owner_id=visible_owner(),
        failed_after=_moment(said["failed_after"]),
        failed_before=_moment(said["failed_before"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
