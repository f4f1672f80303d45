"""Workers, and the duties of the dispatcher; for admins."""

from flask import render_template

from app.clock import utcnow
from app.dashboard.blueprint import blueprint
from app.services.measuring import overview
from app.web.access import Access, access
from app.web.transactions import transaction


@blueprint.get("/workers")
@access(Access.ADMIN)
def list_workers() -> str:
    """Who works."""
    with transaction() as session:
        workers = overview.workers(session, now=utcnow())
        duties = overview.duties(session, now=utcnow())
    return render_template("dashboard/workers.html", workers=workers, duties=duties)
