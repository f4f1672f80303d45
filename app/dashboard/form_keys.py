"""Forms that do something once, however often they are sent: a double click, a reload of the page that answers."""

from collections.abc import Sequence
from typing import Any

from flask import request

from app.services import idempotency
from app.web.access import current_owner_id
from taskledger_sdk.payload.fields import UUID_TEXT


def form_key(route: str, body: dict[str, Any], *, secrets: Sequence[str] = ()) -> idempotency.Key | None:
    """The key that the form's page has put into its field `key`; None where somebody has taken it out."""
    sent = request.form.get("key", "")
    if not UUID_TEXT.fullmatch(sent):
        return None
    return idempotency.taken(f"dashboard.{route}", sent, body, owner=str(current_owner_id()), secrets=secrets)
