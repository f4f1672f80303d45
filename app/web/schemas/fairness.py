"""What a submission may say of how it shares, waits its turn, and stands alone."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import Status
from app.services.submission.uniqueness import UNFINISHED, Unique
from app.web.fields import matching, one_of, text, whole
from app.web.requests.parsing import StrictSchema

MAX_KEY, MAX_PARTS, MAX_SECONDS = 200, 16, 31_536_000
UNIQUE_PART = r"(type|payload|(payload|labels)\.[A-Za-z0-9_][A-Za-z0-9_./-]{0,62})"


class AfterFailure(StrEnum):
    """What a failure does to the tasks behind it with the same ordering key."""

    BLOCK = "block"
    RELEASE = "release"


class UniqueSchema(StrictSchema):
    """What must not be there twice."""

    by = ma.fields.List(
        matching(UNIQUE_PART, "must be type, payload, payload.<key> or labels.<key>"),
        required=True,
        validate=validate.Length(1, MAX_PARTS, error="must name {min} to {max} parts"),
        metadata={
            "description": "Submissions that are equal in all of these are alike",
            "examples": [["type", "payload"]],
        },
    )
    seconds = whole(
        *(1, MAX_SECONDS),
        allow_none=True,
        data_key="for",
        metadata={"description": "Seconds from its submission for which no second is accepted; null: no end"},
    )
    states = ma.fields.List(
        one_of(Status),
        validate=validate.Length(1, error="must name at least one"),
        metadata={"description": "The first one counts while it is in one of these; unfinished ones unless given"},
    )

    @ma.post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Unique:
        return Unique(by=tuple(data["by"]), seconds=data.get("seconds"), states=_sorted(data.get("states", UNFINISHED)))


def _sorted(states: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(states)))


def sharing_fields() -> dict[str, ma.fields.Field[Any]]:
    """How a task shares what is scarce, and which others it waits for."""
    return {
        "concurrency_key": text(
            MAX_KEY,
            allow_none=True,
            metadata={"description": "What it uses that limits are set for", "examples": ["host:partner.example"]},
        ),
        "ordering_key": text(
            MAX_KEY,
            allow_none=True,
            metadata={"description": "Your tasks with the same key run one at a time, in the order of submission"},
        ),
        "after_failure": one_of(
            AfterFailure,
            allow_none=True,
            metadata={
                "description": "Whether its failure blocks those behind it with its ordering_key; block unless given"
            },
        ),
    }


def unique_field() -> ma.fields.Field[Any]:
    """Return the one that is there, in place of a second of the same kind."""
    return ma.fields.Nested(UniqueSchema(), allow_none=True, metadata={"description": "Accept no second one for now"})
