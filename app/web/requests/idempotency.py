"""The header Idempotency-Key of creating requests."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

from marshmallow import validate

from app.services import idempotency
from app.services.idempotency import Key
from app.web.access import current_owner_id
from app.web.requests.parsing import StrictSchema, absent
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.rules import NO_NUL

REPLAYED = {"Idempotent-Replayed": "true"}
MAX_KEY = 255


class IdempotencyHeader(StrictSchema):
    """A key that makes repeating the request harmless."""

    class Meta:
        unknown = "exclude"

    key = strict.Text(
        data_key="Idempotency-Key",
        load_default=absent,
        validate=validate.Length(1, MAX_KEY, error="must have {min} to {max} characters, or be left out"),
        metadata={
            "pattern": NO_NUL,
            "description": "The same key with the same body answers what the first request made, for 24 hours",
        },
    )


@runtime_checkable
class _Fingerprinted(Protocol):
    """A body that says itself what makes it the same one."""

    def fingerprinted(self) -> dict[str, Any]:
        """What of it counts."""


def key_of(headers: dict[str, Any], route: str, body: Any, *, secrets: Sequence[str] = ()) -> Key | None:
    """The key of a request, if it sent one; `body` is what was parsed, dataclass or dict; `secrets` key its digest."""
    if headers["key"] is None:
        return None
    return idempotency.taken(route, headers["key"], _sent(body), owner=str(current_owner_id()), secrets=secrets)


def _sent(body: Any) -> Any:
    if isinstance(body, dict):
        return body
    return body.fingerprinted() if isinstance(body, _Fingerprinted) else asdict(body)
