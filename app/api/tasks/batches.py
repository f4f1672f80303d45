"""/tasks/batch: submit many tasks in one request; each is accepted or refused by itself."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from werkzeug.exceptions import BadRequest

from app.api.tasks.batch_schemas import MINIMAL, BatchHeaders, BatchView, SubmitBatch, item_shape
from app.errors import Refused, flatten
from app.models import TaskRecord
from app.services import idempotency
from app.services.idempotency import Key
from app.services.submission import REFUSALS, Accepted, Item, Submission
from app.services.submission.batches import KEY_FIELD
from app.web import quotas, rate_limits, submission
from app.web.access import current_owner_id, current_principal
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.requests.parsing import Unreadable, refusal
from app.web.responses.masking import digest_secrets
from app.web.responses.problems import body_of, shortened
from app.web.schemas.tasks import TaskView, fields_of

blueprint = Blueprint("batches", __name__, url_prefix="/api/v1", description="Tasks: many in one request")

Fault = Refused | BadRequest
MAX_MESSAGES, BRIEF = 1_000, 200  # of faults in one answer; characters of what is said of the items past them
_VIEW = TaskView()


# Lines are told of in words: generators of clients cannot do anything with a second type of body, and say so.
@blueprint.post("/tasks/batch")
@blueprint.arguments(SubmitBatch(), example={"tasks": [{"type": "reverse_string", "payload": "hello world"}]})
@blueprint.arguments(BatchHeaders(), location="headers")
@blueprint.response(200, BatchView(), description="What became of each, in their order; what was accepted is durable")
@blueprint.problem(422, "No list of submissions, an empty one, or too many")
@blueprint.problem(429, "More tasks than the rate limit of requests allows; none was accepted")
def submit_batch(batch: dict[str, Any], headers: dict[str, Any]) -> Any:
    """Submit many tasks; those that can be accepted are, in one statement.

    The body may also be `application/x-ndjson`: one submission, as in `tasks`, on each line.
    With Idempotency-Key, an item without an `idempotency_key` of its own gets one from the header and its index.
    """
    sent: list[Any] = batch["tasks"]
    _check_length(len(sent))
    rate_limits.count_batch(current_principal().user_id, len(sent))
    owner = str(current_owner_id())
    is_large = quotas.may_be_large()
    read = [_read(index, data, headers["key"], owner, is_large=is_large) for index, data in enumerate(sent)]
    items = [item for item in read if isinstance(item, Item)]
    stored = iter(submission.submit_batch(items))
    results = [next(stored) if isinstance(item, Item) else item for item in read]
    accepted = sum(isinstance(result, Accepted) for result in results)
    is_minimal = MINIMAL in (headers["prefer"] or "").lower().replace(" ", "")
    show = _id_of if is_minimal else _VIEW.dump
    left = [MAX_MESSAGES]
    shown = [_shown(index, result, show, left) for index, result in enumerate(results)]
    answer = {"results": shown, "accepted": accepted, "refused": len(results) - accepted}
    return (answer, {"Preference-Applied": MINIMAL}) if is_minimal else answer


def _check_length(count: int) -> None:
    most = current_settings().max_batch_tasks
    if not 1 <= count <= most:
        raise Refused({"tasks": [f"must be from 1 to {most}, and are {count}"]})


def _read(index: int, data: Any, batch_key: str | None, owner: str, *, is_large: bool) -> Item | Fault | Any:
    """One submission as it can be stored, or why it cannot."""
    if isinstance(data, Unreadable):
        return data.fault
    try:
        fields = dict(fields_of(data, item_shape))
        key = fields.pop(KEY_FIELD, None)
        if is_large:
            quotas.check_size(fields["payload"])
        submission = Submission(**fields)
        return Item(submission=submission, key=_key(key, batch_key, index, submission, owner))
    except ma.ValidationError as error:
        return refusal(error)
    except REFUSALS as error:
        return error


def _key(own: str | None, batch_key: str | None, index: int, submission: Submission, owner: str) -> Key | None:
    if own is None and batch_key is None:
        return None
    route, value = ("tasks", own) if own is not None else ("tasks/batch", f"{batch_key}:{index}")
    return idempotency.taken(
        route, value, submission.fingerprinted(), owner=owner, secrets=digest_secrets(submission.type)
    )


def _id_of(task: TaskRecord) -> dict[str, str]:
    return {"id": str(task.id)}


def _shown(index: int, result: Any, show: Callable[[TaskRecord], Any], left: list[int]) -> dict[str, Any]:
    """One line of the answer. `left`: how many messages more the answer lists; its size has a bound."""
    if isinstance(result, Accepted):
        return {"index": index, "status": 201 if result.is_new else 200, "task": show(result.task)}
    problem = body_of(result)
    left[0] -= len(flatten(problem["errors"]))
    if left[0] < 0:
        problem |= {"errors": {}, "detail": shortened(problem["detail"], BRIEF)}
    return {"index": index, "status": problem["status"], "problem": problem}
