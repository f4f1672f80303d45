"""What limits an account, or an API key, to some task types and queues."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.services.accounts.rights import MAX_NAMED
from app.web.fields import matching, type_name
from taskledger_sdk.registry import QUEUE


def no_repeats(values: list[str]) -> None:
    """Raises ValidationError for a list that names something twice."""
    if len(set(values)) != len(values):
        raise ma.ValidationError("must not repeat anything")


def allowed_types_field(**options: Any) -> ma.fields.List[str]:
    """Task types that may be used; null: all of them."""
    return ma.fields.List(
        type_name(),
        allow_none=True,
        validate=[validate.Length(0, MAX_NAMED, error="must be at most {max}"), no_repeats],
        metadata={"description": "Task types that it may use; null: all", "uniqueItems": True},
        **options,
    )


def allowed_queues_field(**options: Any) -> ma.fields.List[str]:
    """Queues whose task types may be used; null: all of them."""
    return ma.fields.List(
        matching(QUEUE.pattern, "is no name of a queue"),
        allow_none=True,
        validate=[validate.Length(0, MAX_NAMED, error="must be at most {max}"), no_repeats],
        metadata={"description": "Queues whose task types it may use; null: all", "uniqueItems": True},
        **options,
    )
