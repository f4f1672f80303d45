"""What references in a trigger's condition and templates come to: the facts of one event. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.clock import rfc_3339
from app.errors import Refused
from app.models import OutsideEventRecord
from taskledger_sdk.workflows.conditions import check_condition
from taskledger_sdk.workflows.errors import Faults
from taskledger_sdk.workflows.templates import Lookup, Reference, below, check
from tasks.masking import mask_named

SHAPE = "write event.data.NAME, event.name, event.id or event.received_at"


def lookup_of(event: OutsideEventRecord) -> Lookup:
    """A lookup that knows this event."""
    return _lookup(event, event.data)


def shown_lookup_of(event: OutsideEventRecord) -> Lookup:
    """The same with secrets masked, for what is told of an event."""
    return _lookup(event, mask_named(event.data))


def _lookup(event: OutsideEventRecord, data: Any) -> Lookup:
    facts = {
        "id": str(event.id),
        "name": event.name,
        "received_at": rfc_3339(event.received_at),
        "data": data,
    }

    def lookup(reference: Reference) -> Any:
        return below(facts, reference.path)

    return lookup


def check_template(template: Any, path: Sequence[str]) -> None:
    """Raises Refused for what is no template, or refers to anything but the event."""
    _check(lambda faults: check(template, path, faults))


def check_when(condition: Any) -> None:
    """Raises Refused (when) for what is no condition, or refers to anything but the event."""
    if condition is not None:
        _check(lambda faults: check_condition(condition, ("when",), faults))


def _check(look: Callable[[Faults], list[tuple[tuple[str, ...], Reference]]]) -> None:
    faults = Faults()
    for place, reference in look(faults):
        if reference.source != "event":
            faults.add(place, f"{reference} is not known in triggers: {SHAPE}")
    refuse(faults.tree)


def refuse(errors: Mapping[str, Any]) -> None:
    """Raises Refused where there is anything wrong."""
    if errors:
        raise Refused(errors)
