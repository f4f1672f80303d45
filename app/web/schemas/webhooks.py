"""What may be said of a webhook, over HTTP and in forms."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.services.webhooks import EVENTS, FINISHED_EVENTS, NewWebhook
from app.web.fields import Few, text, type_name
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import url_field
from taskledger_sdk.payload import fields as strict

MAX_TYPES = 100


READ_ONLY = frozenset({
    "id", "owner", "secret", "failing_since", "disabled_at", "disabled_reason", "created_at", "updated_at", "links",
    "previous_secret_until", "circuit",
})  # fmt: skip


def _no_repeats(values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise ma.ValidationError("must not repeat anything")


def _events_field(**options: Any) -> Few:
    known = validate.OneOf(EVENTS, error=f"must be one of {', '.join(EVENTS)}")
    return Few(
        strict.Text(validate=known, metadata={"enum": list(EVENTS)}),
        validate=[validate.Length(1, len(EVENTS), error="must have {min} to {max} of them"), _no_repeats],
        metadata={"description": f"Unless given: {', '.join(FINISHED_EVENTS)}", "uniqueItems": True},
        **options,
    )


class WebhookFields(StrictSchema):
    """What can be said of a webhook, at first and later."""

    read_only = READ_ONLY

    url = url_field(metadata={"description": "Where events are POSTed", "examples": ["https://example.com/hooks"]})
    events = _events_field()
    types = Few(
        type_name(),
        validate=[validate.Length(0, MAX_TYPES, error="must be at most {max}"), _no_repeats],
        metadata={"description": "Only of these task types; empty: of all", "uniqueItems": True},
    )
    description = text(200, allow_none=True, metadata={"description": "What it is for"})


class CreateWebhook(WebhookFields):
    """A new webhook."""

    url = url_field(
        required=True,
        error_messages={"required": "is missing"},
        metadata={"description": "Where events are POSTed", "examples": ["https://example.com/hooks"]},
    )

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewWebhook:
        """As the service takes it."""
        lists: dict[str, Any] = {name: tuple(fields[name]) for name in ("events", "types") if name in fields}
        return NewWebhook(**{**fields, **lists})
