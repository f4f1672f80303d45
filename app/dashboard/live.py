"""How a page learns that something has changed: a number that grows with every event."""

from typing import Any

import sqlalchemy as sa
from flask import jsonify

from app.dashboard.blueprint import blueprint
from app.web.access import Access, access
from app.web.transactions import single_statement

# Drawn from the newest events' key; what a page shows is read again only when it differs.
_NEWEST = sa.text("SELECT id FROM task_events WHERE at > now() - interval '2 days' ORDER BY id DESC LIMIT 1")


@blueprint.get("/live")
@access(Access.READ)
def newest() -> Any:
    """The number of the newest event."""
    with single_statement() as session:
        return jsonify(position=session.scalar(_NEWEST) or 0)
