"""The one file of a multipart/form-data request, as it arrives: nothing is kept in memory or on a disk on the way."""

import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from app.errors import Refused
from app.web.responses.attachments import MEDIA_TYPE, UNKNOWN_TYPE
from taskledger_sdk.payload.fields import storable

READ_BYTES = 64 * 1024
HEADER_BYTES = 64 * 1024  # of a part's headers; content is not kept
MAX_NAME = 200
# Control characters and line ends cannot be shown; overrides of direction show another name than the file has. What
# joins letters and emoji, and the spaces of all scripts, belong into names.
UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file on its way: what it is called and said to be, and its content, to be read once."""

    name: str
    media_type: str
    chunks: Iterator[bytes]


def read_upload(request: Request, field: str) -> Upload:
    """The file in `field`, which must be the first part. Raises UnsupportedMediaType, BadRequest or Refused."""
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise UnsupportedMediaType(
            f"Send the file as multipart/form-data in the field {field}: curl -F {field}=@report.csv"
        )
    events = _events(request, options["boundary"].encode())
    part = next(events, None)
    if not isinstance(part, File) or part.name != field:
        raise Refused({field: [f"is missing: send one file, in a field called {field}"]})
    name = file_name(part.filename, field)
    return Upload(name=name, media_type=_media_type(part, name), chunks=_content(events))


def file_name(sent: str, field: str) -> str:
    """The last part of what the client calls the file. Raises Refused for what cannot be stored or shown."""
    name = re.split(r"[/\\]", sent)[-1].strip()
    try:
        storable(name)
    except ValueError as error:
        raise Refused({field: [f"its file name {error.args[0]}"]}) from None
    if not 1 <= len(name) <= MAX_NAME or UNSHOWN.search(name) or name in (".", ".."):
        raise Refused({field: [f"its file name must have 1 to {MAX_NAME} printable characters"]})
    return name


def _media_type(part: File, name: str) -> str:
    media_type = parse_options_header(part.headers.get("Content-Type", ""))[0].lower()
    if MEDIA_TYPE.fullmatch(media_type) and media_type != UNKNOWN_TYPE:
        return media_type
    return mimetypes.guess_type(name)[0] or UNKNOWN_TYPE


def _events(request: Request, boundary: bytes) -> Iterator[Event]:
    """What the decoder finds, from the first part on. Raises BadRequest for a body that is none, or ends too early."""
    decoder = MultipartDecoder(boundary, max_form_memory_size=HEADER_BYTES + READ_BYTES)
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(request.stream.read(READ_BYTES) or None)
            elif isinstance(event, File | Field | Data):
                yield event
            elif isinstance(event, Epilogue):
                return
    except ValueError as error:
        raise BadRequest(f"The body is not multipart/form-data, or it ends too early: {error}.") from None


def _content(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        if not isinstance(event, Data):
            raise Refused({"_schema": ["holds more than one part: send one file a request"]})
        if event.data:
            yield bytes(event.data)
