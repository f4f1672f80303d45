"""A stored file as an answer, or the part of it that Range asked for."""

from flask import Response, request
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.wsgi import FileWrapper

from app.services import artifacts
from app.services.artifacts import ArtifactRecord
from app.web.responses.attachments import media_type, set_attachment

SEND_BYTES = 256 * 1024


def content_of(artifact: ArtifactRecord) -> Response:
    """A file as an answer, of which Range may have asked for a part. Raises PreconditionFailed for another If-Match."""
    if request.if_match and artifact.sha256 not in request.if_match:
        raise PreconditionFailed("The file is another one than If-Match names.")
    stream = artifacts.store().open(artifact.id)
    response = Response(FileWrapper(stream, SEND_BYTES), direct_passthrough=True)
    response.content_type = media_type(artifact.media_type)
    response.call_on_close(stream.close)
    response.content_length = artifact.size
    response.set_etag(artifact.sha256)
    set_attachment(response, artifact.name)
    response.accept_ranges = "bytes"
    try:
        response.make_conditional(request, accept_ranges=_asks_for_a_part(), complete_length=artifact.size)
    except RequestedRangeNotSatisfiable:
        stream.close()
        raise
    return response


def _asks_for_a_part() -> bool:
    """Whether Range is one range of bytes; in another unit, or no range at all, it counts as not said (RFC 9110, 14.2).

    So do several ranges at once: their answer would be a multipart one, and no client has to get it.
    """
    asked = request.range
    return asked is not None and asked.units == "bytes" and len(asked.ranges) == 1
