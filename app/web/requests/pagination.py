"""Lists: {"items", "next"}, newest first, paged by the key of the last item, so that no item is skipped or repeated."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from itsdangerous import BadSignature, URLSafeSerializer
from marshmallow import validate

from app.errors import Refused
from app.web.current_settings import SIGNED_BY, signing_keys
from app.web.requests.parsing import StrictSchema, absent
from taskledger_sdk.payload.fields import Text

DEFAULT_LIMIT, MAX_ITEMS = 50, 200
MAX_CURSOR = 200


class IntegerInQuery(ma.fields.Integer):
    """A whole number written in a query string."""

    default_error_messages = {"invalid": "must be a whole number"}


class PageQuery(StrictSchema):
    """Query parameters of every list."""

    limit = IntegerInQuery(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(1, MAX_ITEMS, error="must be from {min} to {max}"),
        metadata={"description": "How many items at most"},
    )
    cursor = Text(
        load_default=absent,
        validate=validate.Length(1, MAX_CURSOR, error="is not a cursor that this service gave"),
        metadata={"description": "The `next` of the page before; leave it out for the first page"},
    )


def _serializer(kind: str) -> URLSafeSerializer:
    return URLSafeSerializer(signing_keys(), salt=f"cursor.{kind}", signer_kwargs=SIGNED_BY)


def decode(cursor: str | None, kind: str, key: Callable[[Any], Any] = UUID) -> Any:
    """The key in a cursor of this kind of list, None for no cursor; `key` reads it from what `encode` wrote.

    Raises Refused for a cursor that this service did not make for such a list.
    """
    if cursor is None:
        return None
    try:
        return key(_serializer(kind).loads(cursor))
    except BadSignature:
        raise Refused({"cursor": ["is not a cursor of this list; take it from `next` as it is"]}) from None


def encode(key: UUID | datetime | str | int | None, kind: str) -> str | None:
    """The opaque form of a key; None when there is no next page."""
    if key is None:
        return None
    text = key.isoformat() if isinstance(key, datetime) else key if isinstance(key, int) else str(key)
    return str(_serializer(kind).dumps(text))
