"""The form of a submission: the payload by its type's schema (or as JSON), and what else a submission may say. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from app.dashboard import schema_form
from app.dashboard.schema_form import MISSING, Node
from app.errors import Refused, flatten
from app.models import TaskRecord
from tasks.registry import TaskType

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
MOMENTS = ("scheduled_at", "expires_at")
NUMBERS = ("max_retries", "timeout")
DRAWN = frozenset({"payload", "labels", "name", "priority", *MOMENTS, *NUMBERS})
FORM, JSON = "form", "json"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A submission that is being written: `payload` may have MISSING items, `fields` are texts as they were typed."""

    payload: Any
    fields: Mapping[str, str]
    labels: Mapping[str, str]
    mode: str = FORM
    json_text: str = ""


def empty(task_type: TaskType, payload: Any = MISSING) -> Draft:
    """A draft with a payload, by default the type's first example."""
    if payload is MISSING and task_type.examples:
        payload = task_type.examples[0]
    return Draft(payload=payload, fields={}, labels={}, json_text=_json(payload))


def of_task(task_type: TaskType, task: TaskRecord, payload: Any) -> Draft:
    """A draft that says what a task says; `payload` is what its caller may see of the task's."""
    labels = {key: str(value) for key, value in task.labels.items()}
    return replace(empty(task_type, payload), fields=texts_of(task), labels=labels)


def texts_of(task: TaskRecord) -> dict[str, str]:
    """The fields of a task as a form shows them; what it leaves to its type is left out."""
    moments = {name: getattr(task, name) for name in MOMENTS}
    values = {"name": task.name, "priority": task.priority, "max_retries": task.max_retries}
    return {
        **{
            name: str(value) for name, value in {**values, "timeout": task.timeout_seconds}.items() if value is not None
        },
        **{name: f"{moment:%Y-%m-%dT%H:%M}" for name, moment in moments.items() if moment is not None},
    }


def read(task_type: TaskType, sent: MultiDict[str, str]) -> Draft:
    """What was sent. A JSON text that is none stays a text, and the payload MISSING."""
    mode = JSON if sent.get("mode") == JSON else FORM
    text = sent.get("payload_json", "")
    schema = task_type.payload.json_schema()
    payload = schema_form.parsed(text) if mode == JSON else schema_form.read(schema, sent, "payload")
    fields = {name: sent.get(name, "").strip() for name in ("name", "priority", *MOMENTS, *NUMBERS)}
    return Draft(payload=payload, fields=fields, labels=_labels(sent), mode=mode, json_text=text)


def after_button(task_type: TaskType, draft: Draft, sent: MultiDict[str, str]) -> Draft | None:
    """The draft after one of the form's own buttons (add, remove, show as); None: it is to be submitted."""
    if "_mode" in sent:
        mode = JSON if sent["_mode"] == JSON else FORM
        text = draft.json_text if draft.mode == JSON else _json(draft.payload)
        return replace(draft, mode=mode, json_text=text)
    for action in ("add", "remove"):
        if (path := sent.get(f"_{action}")) is None:
            continue
        root, *below = path.split(".")
        if root == "labels":
            labels = schema_form.changed(draft.labels, LABELS, action=action, path=below)
            return replace(draft, labels=labels)
        schema = task_type.payload.json_schema()
        return replace(draft, payload=schema_form.changed(draft.payload, schema, action=action, path=below))
    return draft if "_refresh" in sent else None


def fields_of(draft: Draft) -> dict[str, Any]:
    """The draft as the body of a submission, without its type. Raises Refused for what cannot even be sent."""
    if draft.payload is MISSING and draft.mode == JSON:
        raise Refused({"payload": ["is not JSON, is nested too deeply, or holds what cannot be stored"]})
    body: dict[str, Any] = {"payload": None if draft.payload is MISSING else draft.payload}
    given = {name: text for name, text in draft.fields.items() if text}
    for name, text in given.items():
        body[name] = f"{text}:00Z" if name in MOMENTS and len(text) == 16 else text
    for name in set(NUMBERS) & set(given):
        body[name] = int(given[name]) if given[name].isascii() and given[name].isdigit() else given[name]
    labels = {key: value for key, value in draft.labels.items() if key or value}
    return {**body, "labels": labels} if labels else body


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


def _labels(sent: MultiDict[str, str]) -> dict[str, str]:
    found = schema_form.read(LABELS, sent, "labels", required=False)
    return {} if found is MISSING else found


def _json(payload: Any) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(below) for key, below in value.items()}
        if isinstance(value, list | tuple):
            return [plain(below) for below in value]
        return None if value is MISSING else value

    return "" if payload is MISSING else json.dumps(plain(payload), indent=2, ensure_ascii=False)
