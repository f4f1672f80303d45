"""Submitting a task by a form that its type's schema makes."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError

from app.dashboard import masked_values, submission_form
from app.dashboard.blueprint import blueprint
from app.dashboard.form_keys import form_key
from app.dashboard.submission_form import Draft
from app.dashboard.untouched import MISSING
from app.errors import NotFound, Refused
from app.models import TaskRecord
from app.services.submission import Accepted, Submission
from app.services.tasks import records as task_service
from app.web import submission
from app.web.access import Access, access, visible_owner
from app.web.responses.masking import digest_secrets
from app.web.schemas.tasks import SubmitTask
from app.web.transactions import transaction
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType, get_type, offered_types


@blueprint.get("/submit")
@access(Access.WRITE)
def choose_type() -> str:
    """What can be submitted."""
    return render_template("dashboard/submit_choose.html", types=list(offered_types().values()))


@blueprint.get("/submit/<name>")
@access(Access.WRITE)
def show_form(name: str) -> str:
    """The form of one type: its first example, another one, or a copy of a task."""
    task_type = _type(name)
    original = _original(request.args.get("copy_of", ""), task_type)
    if original is not None:
        return _page(task_type, _copy(original), copy_of=original)
    number = request.args.get("example", "0")
    examples = task_type.examples
    chosen = examples[int(number)] if number.isdigit() and int(number) < len(examples) else MISSING
    return _page(task_type, submission_form.empty(task_type, chosen))


@blueprint.post("/submit/<name>")
def submit(name: str) -> Any:
    """Submit it, or draw the form again after one of its buttons or with what was wrong."""
    task_type = _type(name)
    original = _original(request.form.get("copy_of", ""), task_type)
    drawn = submission_form.empty(task_type, MISSING) if original is None else _copy(original)
    draft = submission_form.read(task_type, request.form, drawn)
    redrawn = submission_form.after_button(task_type, draft, request.form)
    if redrawn is not None:
        return _page(task_type, redrawn, copy_of=original)
    try:
        accepted = _submit(task_type, draft, original)
    except (Refused, PayloadRefused) as error:
        return _page(task_type, draft, errors=error.errors, copy_of=original), 422
    except ValidationError as error:
        return _page(task_type, draft, errors=error.normalized_messages(), copy_of=original), 422
    flash("Submitted." if accepted.is_new else "This form was submitted before: here is its task.")
    return redirect(url_for("dashboard.show_task", task_id=accepted.task.id))


def _submit(task_type: TaskType, draft: Draft, original: TaskRecord | None) -> Accepted:
    body = {"type": task_type.name, **submission_form.body_of(draft)}
    if original is not None:
        body |= {name: value for name, value in _said(original).items() if name not in draft.touched}
        body["payload"] = masked_values.restored(body["payload"], original)
    wanted: Submission = SubmitTask().load(body)  # type: ignore[no-untyped-call]  # OneOfSchema has no types here
    return submission.submit(wanted, form_key("submit", body, secrets=digest_secrets(task_type.name)))


def _declared(task_type: TaskType) -> list[tuple[str, str]]:
    """What its tasks get unless they say otherwise, for people."""
    limits = [*([f"{task_type.concurrency} at once"] if task_type.concurrency else []), *filter(None, [task_type.rate])]
    said = {
        "Ordering key": task_type.ordering_key,
        "Concurrency key": task_type.concurrency_key,
        "Labels": ", ".join(f"{name}: {text}" for name, text in task_type.labels.items()),
        "Search by": ", ".join(task_type.search),
        "Limit": ", ".join(limits),
    }
    return [(name, value) for name, value in said.items() if value]


def _page(
    task_type: TaskType, draft: Draft, *, errors: dict[str, Any] | None = None, copy_of: TaskRecord | None = None
) -> str:
    return render_template(
        "dashboard/submit.html",
        declared=_declared(task_type),
        type=task_type,
        key=uuid4(),
        copy_of=copy_of,
        longest_timeout=MAX_TIMEOUT_SECONDS,
        **submission_form.nodes(task_type, draft, errors or {}),
    )


def _copy(original: TaskRecord) -> Draft:
    """The draft of another task like it: without its times, which are over or were meant for the original."""
    return submission_form.of_task(original, masked_values.veiled_payload(original), with_times=False)


def _said(original: TaskRecord) -> dict[str, Any]:
    """What the original says of itself, as it is stored: a copy says the same where nobody touched it."""
    values = {name: getattr(original, name) for name in ("name", "priority", "max_retries")}
    return {name: value for name, value in {**values, "timeout": original.timeout_seconds}.items() if value is not None}


def _original(id_: str, task_type: TaskType) -> TaskRecord | None:
    if not UUID_TEXT.fullmatch(id_):
        return None
    with transaction(autocommit=True) as session:
        task = task_service.read(session, UUID(id_), owner=visible_owner())
    return task if task.type == task_type.name else None


def _type(name: str) -> TaskType:
    try:
        return get_type(name)
    except UnknownTaskType as error:
        text = str(error)
        raise NotFound(f"{text[0].upper()}{text[1:]}.") from None
