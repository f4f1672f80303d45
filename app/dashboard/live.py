"""How a page learns that something has changed: a number that grows with every event."""

from typing import Any

from flask import jsonify

from app.dashboard.blueprint import blueprint
from app.services import events
from app.web.access import Access, access
from app.web.transactions import transaction


@blueprint.get("/live")
@access(Access.READ)
def newest() -> Any:
    """The id of the newest event; what a page shows is read again only when it differs."""
    with transaction(autocommit=True) as session:
        return jsonify(position=events.newest_id(session))
