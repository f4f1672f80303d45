"""What forms do with values that are never shown: left as they are drawn, they stay as they were."""

from collections.abc import Mapping
from typing import Any

from app.api.auth import current_owner_id
from app.api.privacy import is_sensitive, presentable
from app.models import TaskRecord
from tasks.redaction import redacted


def payload_of(task: TaskRecord) -> Any:
    """The payload as the caller may see it."""
    return redacted(task.type, presentable(task).payload)


def is_callers(task: TaskRecord) -> bool:
    """Whether the task belongs to whoever looks at it."""
    return task.owner_id is not None and task.owner_id == current_owner_id()


def may_be_edited(task: TaskRecord) -> bool:
    """Whether the caller can send the payload back: it is theirs, or nothing in it is hidden from them."""
    return is_callers(task) or (not is_sensitive(task) and payload_of(task) == task.payload)


def restored(sent: Any, original: TaskRecord) -> Any:
    """What was sent, with the original's hidden values where it still holds their masks.

    Only for their owner: anybody else would learn them by sending them elsewhere.
    """
    if not is_callers(original):
        return sent
    return merged(sent, payload_of(original), presentable(original).payload)


def merged(sent: Any, mask: Any, original: Any) -> Any:
    """`sent`, but the original's value wherever it equals the mask of that very place. Pure."""
    if sent == mask:
        return original
    if isinstance(sent, Mapping) and isinstance(mask, Mapping) and isinstance(original, Mapping):
        return {
            key: merged(value, mask[key], original[key]) if key in mask and key in original else value
            for key, value in sent.items()
        }
    if isinstance(sent, list) and isinstance(mask, list) and isinstance(original, list) and len(sent) == len(mask):
        return [merged(*each) for each in zip(sent, mask, original, strict=True)]
    return sent
