"""/integrity: whether the ledger keeps its promises, in numbers."""

import marshmallow as ma

from app import messaging
from app.clock import utcnow
from app.services.dispatch import queues
from app.services.measuring import integrity
from app.web.access import Access, access
from app.web.blueprint import Blueprint
from app.web.fields import Instant
from app.web.transactions import transaction

blueprint = Blueprint("integrity", __name__, url_prefix="/api/v1", description="The ledger, checked against itself")


class QueueBalanceView(ma.Schema):
    """A broker queue beside the tasks that wait for its hints."""

    queue = ma.fields.String(required=True)
    dispatched_pending_tasks = ma.fields.Integer(required=True)
    waiting_hints = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Ready in the broker; null: it did not answer"}
    )


class ReportView(ma.Schema):
    """What was found; `findings` is empty when all is well."""

    at = Instant(required=True)
    clean = ma.fields.Boolean(required=True)
    findings = ma.fields.List(ma.fields.String(), required=True)
    tasks_by_status = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer(), required=True)
    overdue_tasks = ma.fields.Integer(required=True)
    overdue_since = Instant(required=True, allow_none=True)
    leases_without_live_worker = ma.fields.Integer(required=True)
    outcomes_recorded_twice = ma.fields.Integer(required=True)
    counters = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": "What was suppressed, dropped, lost and published again since the beginning"},
    )
    queues = ma.fields.List(ma.fields.Nested(QueueBalanceView), required=True)


@blueprint.get("/integrity")
@blueprint.response(200, ReportView())
@access(Access.ADMIN)
def read_report() -> integrity.Report:
    """Check the ledger against itself and against the broker."""
    waiting = messaging.waiting_hints(queues.known_queues())
    with transaction() as session:
        return integrity.report(session, waiting, now=utcnow())
