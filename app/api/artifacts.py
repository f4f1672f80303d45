"""/artifacts: files for tasks to read, and those they made."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from app.clock import utcnow
from app.config import get_settings
from app.database import Session
from app.errors import Gone, NotFound
from app.models.page import Page
from app.services import artifacts, idempotency
from app.services.artifacts import ArtifactRecord, NewArtifact
from app.web.access import current_owner_id, visible_owner
from app.web.blueprint import Blueprint, Created
from app.web.fields import Instant
from app.web.requests.idempotency import key_of
from app.web.requests.multipart import HEADER_BYTES, read_upload
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import absent
from app.web.responses.downloads import content_of
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.fields import UUID_TEXT

T = TypeVar("T")

blueprint = Blueprint("artifacts", __name__, url_prefix="/api/v1", description="Files: uploaded, or made by tasks")

ARTIFACT_ID = [{"name": "artifact_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]
FILE = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
UPLOAD = {"required": True, "content": {"multipart/form-data": {"schema": FILE}}}
CONTENT = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


class ArtifactView(ma.Schema):
    """A stored file."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True, metadata={"description": "For people; not unique"})
    media_type = ma.fields.String(required=True)
    size = ma.fields.Integer(required=True, metadata={"description": "Bytes"})
    sha256 = ma.fields.String(required=True, metadata={"description": "Of the content, hexadecimal"})
    task_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "That made it; null: uploaded"})
    owner = ma.fields.UUID(attribute="owner_id", required=True, allow_none=True)
    created_at = Instant(required=True)
    expires_at = Instant(required=True, allow_none=True, metadata={"description": "Removed then; null: never"})
    links = ma.fields.Function(
        lambda artifact: {"self": artifact_path(artifact), "content": f"{artifact_path(artifact)}/content"},
        required=True,
        metadata={
            "type": "object",
            "properties": {"self": {"type": "string"}, "content": {"type": "string"}},
            "description": "Paths of what belongs to it",
        },
    )


class ArtifactList(ma.Schema):
    """A page of files, newest first."""

    items = ma.fields.List(ma.fields.Nested(ArtifactView), required=True)
    next = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Give it as `cursor`; null: the end"}
    )


class ArtifactFilter(PageQuery):
    """Query parameters of the list of files."""

    task_id = strict.Identifier(load_default=absent, metadata={"description": "Made by this task"})


def artifact_path(artifact: ArtifactRecord) -> str:
    """Where a file is read about."""
    return f"/api/v1/artifacts/{artifact.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """What an upload says, for its Idempotency-Key."""

    name: str
    media_type: str
    sha256: str


class _SavedBefore(Exception):
    """The Idempotency-Key was used before, for this file."""

    def __init__(self, artifact_id: UUID) -> None:
        super().__init__(artifact_id)
        self.artifact_id = artifact_id


@blueprint.post("/artifacts")
@blueprint.creates(ArtifactView(), "file", description="Stored and durable", headers=None)
@blueprint.problem(413, "Larger than ARTIFACT_MAX_BYTES, or than what is free of the quota of the account")
@blueprint.problem(415, "Not multipart/form-data")
@blueprint.problem(422, "No file in the field `file`, or more than one part")
@blueprint.problem(503, "The store does not answer")
@blueprint.doc(requestBody=UPLOAD)
def upload_artifact(headers: dict[str, Any]) -> Created[ArtifactRecord]:
    """Upload a file: multipart/form-data with the one field `file`."""
    settings = get_settings()
    request.max_content_length = sys.maxsize  # counted as it passes, against the limit of files
    if (request.content_length or 0) > settings.artifact_max_bytes + HEADER_BYTES:
        raise artifacts.TooLarge(settings.artifact_max_bytes)
    upload = read_upload(request, "file")
    new = NewArtifact(owner_id=current_owner_id(), task_id=None, name=upload.name, media_type=upload.media_type)

    def once(session: Session, made: ArtifactRecord) -> None:
        said = Upload(name=made.name, media_type=made.media_type, sha256=made.sha256)
        key = key_of(headers, "artifacts", said)
        first = idempotency.first_use(session, key, made.id, now=utcnow()) if key else None
        if first is not None:
            raise _SavedBefore(first)

    try:
        made = artifacts.save(_transact, artifacts.store(), new, upload.chunks, settings=settings, once=once)
    except _SavedBefore as before:
        first = _first(before.artifact_id)
        return Created(record=first, path=artifact_path(first), is_new=False)
    return Created(record=made, path=artifact_path(made), is_new=True)


def _first(artifact_id: UUID) -> ArtifactRecord:
    with transaction() as session:
        try:
            return artifacts.read(session, artifact_id, owner=visible_owner())
        except NotFound:
            raise Gone("The file that was uploaded with this Idempotency-Key has been deleted.") from None


@blueprint.get("/artifacts")
@blueprint.pages(ArtifactList(), "artifacts", query=ArtifactFilter())
def list_artifacts(wanted: dict[str, Any]) -> Page[ArtifactRecord]:
    """List files, newest first."""
    with transaction() as session:
        return artifacts.find(
            session,
            owner=visible_owner(),
            task_id=wanted["task_id"],
            before=wanted["before"],
            limit=wanted["limit"],
        )


@blueprint.get("/artifacts/<artifact_id>", parameters=ARTIFACT_ID)
@blueprint.response(200, ArtifactView())
def read_artifact(artifact_id: str) -> ArtifactRecord:
    """Read about a file."""
    return _find(artifact_id)


@blueprint.get("/artifacts/<artifact_id>/content", parameters=ARTIFACT_ID)
@blueprint.response(200, description="The file", content_type="application/octet-stream")
@blueprint.alt_response(206, description="The bytes that Range asked for")
@blueprint.alt_response(304, description="Not changed since")
@blueprint.problem(412, "Another file than If-Match names")
@blueprint.problem(416, "The range lies outside of the file")
@blueprint.problem(503, "The store does not answer")
def download_artifact(artifact_id: str) -> Response:
    """Download a file, or with Range a part of it."""
    return content_of(_find(artifact_id))


@blueprint.delete("/artifacts/<artifact_id>", parameters=ARTIFACT_ID)
@blueprint.response(204, description="Deleted")
def delete_artifact(artifact_id: str) -> None:
    """Delete a file."""
    id_ = _parse(artifact_id)
    with transaction() as session:
        artifacts.delete(session, id_, owner=visible_owner(), now=utcnow())


def _find(artifact_id: str) -> ArtifactRecord:
    id_ = _parse(artifact_id)
    with transaction() as session:
        return artifacts.read(session, id_, owner=visible_owner())


def _parse(text: str) -> UUID:
    if not UUID_TEXT.fullmatch(text):
        raise NotFound("There is no such artifact: an id is a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab.")
    return UUID(text)


def _transact(work: Callable[[Session], T]) -> T:
    with transaction() as session:
        return work(session)
