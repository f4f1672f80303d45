"""What a batch of submissions looks like in requests and answers."""

from functools import cache
from typing import Any

import marshmallow as ma
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from app.services.submission.batches import KEY_FIELD
from app.web.fields import matching, text
from app.web.middleware import ACCEPTABLE_ID
from app.web.requests.idempotency import MAX_KEY, IdempotencyHeader
from app.web.requests.parsing import StrictSchema, absent
from app.web.responses.problems import Problem
from app.web.schemas.tasks import SubmissionShape, TaskView, shape_of
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.registry import TaskType, load_types
from tasks import correlation

MINIMAL = "return=minimal"


class BatchHeaders(IdempotencyHeader):
    """A key for each item that has none, and how much of the tasks the caller wants to see (RFC 7240)."""

    prefer = strict.Text(
        data_key="Prefer",
        load_default=absent,
        metadata={"description": f"{MINIMAL}: of each accepted task its `id` only, which is quicker for large batches"},
    )


class ItemShape(SubmissionShape):
    """Base of the schema of each type's submissions in a batch."""


@cache
def _item_shape(single: ma.Schema) -> ma.Schema:
    name = type(single).__name__.removesuffix("Submission")
    key = text(
        MAX_KEY,
        metadata={"description": "As the header Idempotency-Key of a single submission; they share their keys"},
    )
    return ItemShape.from_dict({**single.declared_fields, KEY_FIELD: key, **_of_request()}, name=f"{name}BatchItem")()


def _of_request() -> dict[str, ma.fields.Field[Any]]:
    return {
        "request_id": matching(
            ACCEPTABLE_ID.pattern,
            "must have 1 to 128 letters, digits and . _ : / + = -",
            metadata={"description": "As the header X-Request-ID of a single submission"},
        ),
        "traceparent": matching(
            correlation.TRACEPARENT.pattern,
            "must be a traceparent of W3C's trace context, version 00",
            metadata={"description": "As the header traceparent of a single submission"},
        ),
    }


def item_shape(task_type: TaskType) -> ma.Schema:
    """The schema of one type's submissions in a batch: those of a single one, and a key."""
    return _item_shape(shape_of(task_type))


class BatchItem(OneOfSchema):
    """A submission of a batch: its `type` says which payload it takes."""

    @property
    def type_schemas(self) -> dict[str, ma.Schema]:  # type: ignore[override]  # which is only read
        """The schemas by task type, as OpenAPI shows them."""
        return {task_type.name: item_shape(task_type) for task_type in load_types().values()}


class Unread(ma.fields.List[Any]):
    """A list whose items are checked one by one later, because each is accepted or refused by itself."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list):
            raise strict.wrong("a list", value)
        return value


class SubmitBatch(StrictSchema):
    """Submissions that are stored together."""

    lines_are = "tasks"
    tasks = Unread(
        ma.fields.Nested(BatchItem),
        required=True,
        error_messages={"required": "is missing", "null": "must be a list"},
        metadata={"minItems": 1, "description": "At most MAX_BATCH_TASKS (1000 unless set); one result for each"},
    )


class ResultView(ma.Schema):
    """What became of one item of a batch."""

    index = ma.fields.Integer(required=True, metadata={"description": "Its place in the batch, from 0"})
    status = ma.fields.Integer(
        required=True,
        metadata={"description": "As a single submission would be answered: 201 new, 200 its key was used before, 4xx"},
    )
    task = ma.fields.Nested(TaskView, metadata={"description": f"If it was accepted; with {MINIMAL} only its `id`"})
    problem = ma.fields.Nested(Problem, metadata={"description": "If it was refused"})


class Built(ma.fields.List[Any]):
    """A list whose items are what the answer shows already."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return value


class BatchView(ma.Schema):
    """What became of a batch."""

    results = Built(ma.fields.Nested(ResultView), required=True)
    accepted = ma.fields.Integer(required=True)
    refused = ma.fields.Integer(required=True)
