"""The form of a submission: the payload by its type's schema (or as JSON), and what else a submission may say. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from app.dashboard import schema_form, schema_reading, untouched
from app.dashboard.schema_form import Node
from app.dashboard.untouched import MISSING, kept_again, moment_shown, moment_typed
from app.errors import Refused, flatten
from app.models import Priority, TaskRecord
from taskledger_sdk.registry import TaskType

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
MOMENTS = ("scheduled_at", "expires_at")
NUMBERS = ("max_retries", "timeout")
DRAWN = frozenset({"payload", "labels", "name", "priority", *MOMENTS, *NUMBERS})
KINDS = {
    "name": "text",
    "priority": "choice",
    **dict.fromkeys(NUMBERS, "whole"),
    **dict.fromkeys(MOMENTS, untouched.MOMENT),
}
NORMAL = {"priority": Priority.NORMAL.value}  # what the form shows where nothing is said
FORM, JSON = "form", "json"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A submission that is being written.

    `payload` and `labels` are values as they are, with MISSING for what is not there and Kept for what is hidden;
    `fields` are texts as they were typed. `shown` are the texts that were there at first, and `touched` says what of
    payload, labels and fields is not any more what was there at first.
    """

    payload: Any
    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    mode: str = FORM
    json_text: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()
    base: Any = MISSING
    """The payload while the JSON that was typed is none."""

    @property
    def carried(self) -> str:
        """What the form carries, so that the next reading knows what it showed."""
        payload = self.base if self.payload is MISSING else self.payload
        return untouched.pack({
            "payload": payload, "labels": self.labels, "fields": self.shown, "touched": sorted(self.touched),
        })  # fmt: skip


def empty(task_type: TaskType, payload: Any = MISSING) -> Draft:
    """A draft with a payload, by default the type's first example."""
    if payload is MISSING and task_type.examples:
        payload = task_type.examples[0]
    return of_values(payload, {}, {})


def of_task(task: TaskRecord, payload: Any, *, with_times: bool = True) -> Draft:
    """A draft that says what a task says; `payload` is what its caller may see of the task's."""
    names = KINDS if with_times else [name for name in KINDS if name not in MOMENTS]
    values = {name: task.timeout_seconds if name == "timeout" else getattr(task, name) for name in names}
    return of_values(payload, values, task.labels)


def of_values(payload: Any, fields: Mapping[str, Any], labels: Mapping[str, Any]) -> Draft:
    """A draft that says what is stored; a field that is None is left to the type."""
    texts = {
        name: moment_shown(value) if name in MOMENTS else str(value)
        for name, value in fields.items()
        if name in KINDS and value is not None
    }
    texts = {**NORMAL, **texts}
    return Draft(payload=payload, fields=texts, labels=labels, json_text=_json(payload), shown=texts)


def read(task_type: TaskType, sent: MultiDict[str, str], drawn: Draft) -> Draft:
    """What was sent. A JSON text that is none stays a text, and the payload MISSING.

    `drawn`: what the page shows when it is opened now, for a form that does not carry what it showed.
    """
    drawn = _carried(sent.get(untouched.FIELD, ""), drawn)
    touched = set(drawn.touched)
    mode = JSON if sent.get("mode") == JSON else FORM
    text = sent.get("payload_json", "")
    if mode == FORM:
        schema = task_type.payload.json_schema()
        payload, is_touched = schema_reading.read(schema, sent, "payload", drawn.payload)
    else:
        payload, is_touched = _typed(text, drawn.payload)
    labels, are_touched = schema_reading.read(LABELS, sent, "labels", drawn.labels, required=False)
    touched |= {"payload"} if is_touched else set()
    touched |= {"labels"} if are_touched else set()
    # Compared with what was there at first: a form that is drawn again shows what was typed.
    touched = (touched - KINDS.keys()) | untouched.touched(sent, drawn.shown, KINDS)
    return Draft(
        payload=payload,
        fields={name: sent.get(name, "") for name in KINDS},
        labels={} if labels is MISSING else labels,
        mode=mode,
        json_text=text,
        shown=drawn.shown,
        touched=frozenset(touched),
        base=drawn.payload,
    )


def _carried(packed: str, drawn: Draft) -> Draft:
    found = untouched.unpack(packed) if packed else MISSING
    if not isinstance(found, Mapping) or found.keys() != {"payload", "labels", "fields", "touched"}:
        return drawn
    texts = {str(name): str(text) for name, text in dict(found["fields"]).items()}
    labels = found["labels"] if isinstance(found["labels"], Mapping) else {}
    touched = frozenset(str(name) for name in found["touched"])
    return replace(drawn, payload=found["payload"], labels=labels, shown=texts, touched=touched)


def _typed(text: str, shown: Any) -> tuple[Any, bool]:
    if untouched.is_untouched("json", text, _json(shown)):
        return shown, False
    value = schema_form.parsed(text)
    return (MISSING if value is MISSING else kept_again(value, shown)), True


def after_button(task_type: TaskType, draft: Draft, sent: MultiDict[str, str]) -> Draft | None:
    """The draft after one of the form's own buttons (add, remove, show as); None: it is to be submitted."""
    if "_mode" in sent:
        mode = JSON if sent["_mode"] == JSON else FORM
        # JSON that is none cannot be shown as a form: that shows what was there before it.
        payload = draft.base if draft.payload is MISSING and mode == FORM else draft.payload
        text = draft.json_text if draft.mode == JSON else _json(payload)
        return replace(draft, mode=mode, json_text=text, payload=payload)
    for action in ("add", "remove"):
        if (path := sent.get(f"_{action}")) is None:
            continue
        root, *below = path.split(".")
        if root == "labels":
            labels = schema_reading.changed(draft.labels, LABELS, action=action, path=below)
            return replace(draft, labels=labels, touched=draft.touched | {"labels"})
        schema = task_type.payload.json_schema()
        payload = schema_reading.changed(draft.payload, schema, action=action, path=below)
        return replace(draft, payload=payload, touched=draft.touched | {"payload"})
    return draft if "_refresh" in sent else None


def body_of(draft: Draft) -> dict[str, Any]:
    """The draft as the body of a submission, without its type. Raises Refused for what cannot even be sent."""
    payload = payload_of(draft)
    body: dict[str, Any] = {"payload": None if payload is MISSING else payload}
    body |= {name: value for name in KINDS if (value := typed(draft, name)) is not None}
    return {**body, "labels": labels_of(draft)} if draft.labels else body


def payload_of(draft: Draft) -> Any:
    """The payload of the draft. Raises Refused for JSON that is none."""
    if draft.payload is MISSING and draft.mode == JSON:
        raise Refused({"payload": ["is not JSON, is nested too deeply, or holds what cannot be stored"]})
    return draft.payload


def labels_of(draft: Draft) -> dict[str, Any]:
    """The labels, without pairs that nobody filled in."""
    return {key: value for key, value in draft.labels.items() if key or value}


def typed(draft: Draft, name: str) -> Any:
    """What somebody typed into a field, as the API takes it: None for nothing, a text where it is no number."""
    text = draft.fields.get(name, "").strip()
    if name in MOMENTS:
        return moment_typed(text) or None
    if name in NUMBERS:
        return untouched.whole_typed(text)
    return text or None


def nodes(task_type: TaskType, draft: Draft, errors: Mapping[str, Any]) -> dict[str, Any]:
    """What templates/_submission.html draws."""
    messages: dict[str, list[str]] = {}
    for path, message in flatten(errors):
        messages.setdefault(path, []).append(message)
    payload = schema_form.build(
        task_type.payload.json_schema(), draft.payload, name="payload", label="Payload", errors=messages
    )
    labels = schema_form.build(LABELS, draft.labels, name="labels", label="Labels", errors=messages, required=False)
    return {
        "payload": payload,
        "labels": labels,
        "draft": draft,
        "errors": messages,
        "unplaced": _unplaced(messages, payload, labels),
    }


def _unplaced(messages: Mapping[str, Sequence[str]], *roots: Node) -> list[str]:
    """Messages that stand at no input of the form, so that none is lost."""
    shown = {"name", "priority", *MOMENTS, *NUMBERS}
    for root in roots:
        shown |= set(_names(root))
    return [
        f"{path}: {text}" if path else text for path, texts in messages.items() if path not in shown for text in texts
    ]


def _names(node: Node) -> list[str]:
    return [node.name, *(name for child in node.children for name in _names(child))]


def _json(payload: Any) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(below) for key, below in value.items()}
        if isinstance(value, list | tuple):
            return [plain(below) for below in value]
        return None if value is MISSING else value

    return "" if payload is MISSING else json.dumps(plain(payload), indent=2, ensure_ascii=False, default=str)
