"""Lists: {"items", "next"}, newest first, paged by the key of the last item, so that no item is skipped or repeated."""

from typing import Any

import marshmallow as ma
from itsdangerous import BadSignature, URLSafeSerializer
from marshmallow import validate

from app.errors import Refused
from app.web.current_settings import signing_keys
from app.web.requests.parsing import StrictSchema, absent
from tasks.fields import Text

DEFAULT_LIMIT, MOST_ITEMS = 50, 200
LONGEST_CURSOR = 200


class IntegerInQuery(ma.fields.Integer):
    """A whole number written in a query string."""

    default_error_messages = {"invalid": "must be a whole number"}


class Page(StrictSchema):
    """Query parameters of every list."""

    limit = IntegerInQuery(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(1, MOST_ITEMS, error="must be from {min} to {max}"),
        metadata={"description": "How many items at most"},
    )
    cursor = Text(
        load_default=absent,
        validate=validate.Length(1, LONGEST_CURSOR, error="is not a cursor that this service gave"),
        metadata={"description": "The `next` of the page before; leave it out for the first page"},
    )


def _serializer(kind: str) -> URLSafeSerializer:
    return URLSafeSerializer(signing_keys(), salt=f"cursor.{kind}")


def decode(cursor: str | None, kind: str) -> Any:
    """The key in a cursor of this kind of list, None for no cursor. Raises Refused for one that we did not make."""
    if cursor is None:
        return None
    try:
        return _serializer(kind).loads(cursor)
    except BadSignature:
        raise Refused({"cursor": ["is not a cursor of this list; take it from `next` as it is"]}) from None


def encode(key: str | int | None, kind: str) -> str | None:
    """The opaque form of a key; None when there is no next page."""
    return None if key is None else str(_serializer(kind).dumps(key))
