"""What forms do with values that are never shown: left as they are drawn, they stay as they were."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from app.dashboard.untouched import Kept
from app.errors import Refused
from app.models import ScheduleRecord, TaskRecord
from app.web.access import current_owner_id
from app.web.responses.masking import is_sensitive, presentable
from tasks.masking import MASKED, masked

NOT_YOURS = "is hidden from you, so it cannot be sent back: write another value, or leave the payload as it is"
NOT_KEPT = "holds [redacted], which stands for a value that is not shown: write the value itself"


def payload_of(task: TaskRecord) -> Any:
    """The payload as the caller may see it."""
    return masked(task.type, presentable(task).payload)


def is_callers(thing: TaskRecord | ScheduleRecord) -> bool:
    """Whether the task or schedule belongs to whoever looks at it."""
    return thing.owner_id is not None and thing.owner_id == current_owner_id()


def may_be_edited(task: TaskRecord) -> bool:
    """Whether the caller can send the payload back: it is theirs, or nothing in it is hidden from them."""
    return is_callers(task) or (not is_sensitive(task) and payload_of(task) == task.payload)


def veiled_payload(task: TaskRecord) -> Any:
    """The payload as a form shows it: Kept in the place of each hidden value."""
    return veiled(presentable(task).payload, payload_of(task))


def veiled(original: Any, mask: Any, path: tuple[str | int, ...] = ()) -> Any:
    """A value with Kept wherever its mask says something else. Pure."""
    if original == mask:
        return original
    if isinstance(original, Mapping) and isinstance(mask, Mapping) and original.keys() == mask.keys():
        return {key: veiled(value, mask[key], (*path, key)) for key, value in original.items()}
    if isinstance(original, list) and isinstance(mask, list) and len(original) == len(mask):
        return [veiled(value, mask[number], (*path, number)) for number, value in enumerate(original)]
    return Kept(text=str(mask), path=path)


def restored(sent: Any, original: TaskRecord) -> Any:
    """What was sent, with the hidden values of the task that was shown. Raises Refused.

    Only for their owner: anybody else would learn them by sending them elsewhere.
    """
    return unveiled(sent, presentable(original).payload, original.type, is_allowed=is_callers(original))


def unveiled(sent: Any, original: Any, type_name: str, *, is_allowed: bool) -> Any:
    """A payload with each Kept replaced by the value it stands for. Pure.

    Raises Refused where that may not be, and where a mask was left that stands for nothing any more.
    """
    faults: dict[str, list[str]] = {}
    value = _replaced(sent, original, "payload", is_allowed, faults)
    if not faults:
        mark = uuid4().hex
        faults = {path: [NOT_KEPT] for path in _masks_left(value, masked(type_name, _marked(value, mark)), mark)}
    if faults:
        raise Refused(faults)
    return value


def _replaced(sent: Any, original: Any, path: str, is_allowed: bool, faults: dict[str, list[str]]) -> Any:
    if isinstance(sent, Mapping):
        return {key: _replaced(value, original, f"{path}.{key}", is_allowed, faults) for key, value in sent.items()}
    if isinstance(sent, list):
        return [_replaced(value, original, f"{path}.{number}", is_allowed, faults) for number, value in enumerate(sent)]
    if not isinstance(sent, Kept):
        return sent
    try:
        found = original
        for step in sent.path:
            found = found[step]
    except (KeyError, IndexError, TypeError):  # the original has changed since
        faults[path] = [NOT_KEPT]
        return None
    if not is_allowed:
        faults[path] = [NOT_YOURS]
    return found


def _marked(value: Any, mark: str) -> Any:
    """A value whose texts say something else where they hold a mask: what is masked then stood in a masked place."""
    if isinstance(value, Mapping):
        return {key: _marked(below, mark) for key, below in value.items()}
    if isinstance(value, list):
        return [_marked(below, mark) for below in value]
    return value.replace(MASKED, mark) if isinstance(value, str) else value


def _masks_left(value: Any, shown: Any, mark: str, path: str = "payload") -> list[str]:
    """Where a text holds a mask in a place that is masked. `shown`: the marked value, masked."""
    if isinstance(value, str):
        return [path] if MASKED in value and mark not in str(shown) else []
    if isinstance(value, Mapping) and isinstance(shown, Mapping):
        return [
            each for key in value if key in shown for each in _masks_left(value[key], shown[key], mark, f"{path}.{key}")
        ]
    if isinstance(value, list) and isinstance(shown, list) and len(value) == len(shown):
        return [
            each
            for number, (below, mask) in enumerate(zip(value, shown, strict=True))
            for each in _masks_left(below, mask, mark, f"{path}.{number}")
        ]
    return []
