"""Files that tasks made, to download."""

from uuid import UUID

from flask import Response

from app.api import artifacts
from app.dashboard.blueprint import blueprint


@blueprint.get("/artifacts/<uuid:artifact_id>/content")
def download(artifact_id: UUID) -> Response:
    """One file, as an attachment."""
    return artifacts.download_artifact(str(artifact_id))
