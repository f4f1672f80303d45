"""Files that tasks made, to download."""

from uuid import UUID

from flask import Response

from app.dashboard.blueprint import blueprint
from app.services import artifacts
from app.web.access import visible_owner
from app.web.responses.downloads import content_of
from app.web.transactions import transaction


@blueprint.get("/artifacts/<uuid:artifact_id>/content")
def download(artifact_id: UUID) -> Response:
    """One file, as an attachment."""
    with transaction() as session:
        artifact = artifacts.read(session, artifact_id, owner=visible_owner())
    return content_of(artifact)
