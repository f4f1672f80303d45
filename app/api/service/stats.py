"""/stats: how many tasks are done, failed and waiting, by type and period; exact, whatever was restarted."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.clock import utcnow
from app.errors import Refused
from app.services.measuring import stats
from app.services.measuring.stats import Stats
from app.web.access import current_principal
from app.web.blueprint import Blueprint
from app.web.fields import Instant, QueryMoment, Several, type_name
from app.web.requests.parsing import StrictSchema, absent
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import Text

blueprint = Blueprint("stats", __name__, url_prefix="/api/v1", description="Counts of what was done")

MAX_HOURS = 24 * 31


class StatsQuery(StrictSchema):
    """Which figures."""

    since = QueryMoment(
        metadata={"description": "Count from the hour of this moment on; all that ever was unless given"}
    )
    period = Text(
        load_default=absent,
        validate=validate.OneOf(("hour", "day"), error="must be hour or day"),
        metadata={"enum": ["hour", "day"], "description": "Add the figures of each hour or day (UTC); needs since"},
    )
    type = Several(
        type_name(),
        metadata={"description": "Only these types; may be repeated"},
    )


class TallyView(ma.Schema):
    """What happened to how many tasks."""

    submitted = ma.fields.Integer(required=True)
    jobs_done = ma.fields.Integer(required=True, metadata={"description": "COMPLETED"})
    jobs_failed = ma.fields.Integer(
        required=True, metadata={"description": "FAILED; without those that were replayed, unless since is given"}
    )
    cancelled = ma.fields.Integer(required=True)
    retries = ma.fields.Integer(
        required=True, metadata={"description": "Failed attempts that were followed by another"}
    )


class TypeTallyView(TallyView):
    """One type."""

    type = ma.fields.String(required=True)
    jobs_in_queue = ma.fields.Integer(required=True, metadata={"description": "PENDING or RETRYING now"})
    suspended = ma.fields.Integer(required=True, metadata={"description": "WAITING now"})


class PeriodTallyView(TallyView):
    """One hour or day."""

    start = Instant(required=True)


class StatsView(TallyView):
    """The caller's figures; an admin's are everybody's."""

    at = Instant(required=True)
    since = Instant(required=True, allow_none=True)
    total_jobs_in_queue = ma.fields.Integer(required=True, metadata={"description": "PENDING or RETRYING now"})
    suspended = ma.fields.Integer(
        required=True,
        metadata={
            "description": "WAITING now, for a moment, a signal or children; everybody's are counted each minute"
        },
    )
    by_type = ma.fields.List(ma.fields.Nested(TypeTallyView), required=True)
    by_period = ma.fields.List(ma.fields.Nested(PeriodTallyView), required=True)


@blueprint.get("/stats")
@blueprint.arguments(StatsQuery(), location="query")
@blueprint.response(200, StatsView())
def read_stats(query: dict[str, Any]) -> dict[str, Any]:
    """Read how many tasks are done, failed and waiting."""
    now = utcnow()
    since = stats.first_hour(query["since"]) if "since" in query else None
    if query["period"] is not None:
        _check_period(query["period"], since, now)
    with transaction() as session:
        found = stats.report(
            session,
            owner=current_principal().sees,
            types=query.get("type", ()),
            since=since,
            unit=query["period"],
            now=now,
        )
    return _flat(found)


def _check_period(period: str, since: datetime | None, now: datetime) -> None:
    if since is None:
        raise Refused({"since": ["is missing: figures by period begin somewhere"]})
    hours = (now - since).total_seconds() / 3600
    if period == "hour" and hours > MAX_HOURS:
        raise Refused({"since": [f"must be at most {MAX_HOURS // 24} days ago for figures by the hour"]})


def _flat(found: Stats) -> dict[str, Any]:
    return {
        "at": found.at,
        "since": found.since,
        "total_jobs_in_queue": found.total_jobs_in_queue,
        "suspended": found.suspended,
        **asdict(found.tally),
        "by_type": [
            {
                "type": each.type,
                "jobs_in_queue": each.jobs_in_queue,
                "suspended": each.suspended,
                **asdict(each.tally),
            }
            for each in found.by_type
        ],
        "by_period": [{"start": each.start, **asdict(each.tally)} for each in found.by_period],
    }
