"""/invoices: a product built on the core; invoices as runs of a workflow, once, later or again and again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app, jsonify

from app.api.invoices.schemas import (
    CustomerStatusView,
    CustomerTasks,
    InvoiceView,
    RepeatInvoice,
    ScheduleEmail,
    ScheduleInvoice,
    StartInvoice,
    WaitForPdf,
)
from app.clock import utcnow
from app.database import Session
from app.errors import NotFound, Refused
from app.models import ScheduleRecord, TaskRecord
from app.models.page import Page
from app.services import invoices, schedules, workflows
from app.services.invoices import CustomerStatus, InvoiceRecord, Pdf
from app.services.schedules import NewSchedule, WorkflowTemplate
from app.services.workflows import Caller, NewRun, RunView
from app.web import quotas
from app.web.access import current_caller, current_owner_id
from app.web.blueprint import Blueprint, Created
from app.web.current_settings import current_settings
from app.web.live.long_poll import hub
from app.web.requests.idempotency import key_of
from app.web.responses.downloads import content_of
from app.web.schemas.runs import RunDetails, run_path
from app.web.schemas.schedules import ScheduleView, schedule_path
from app.web.schemas.tasks import TaskList, TaskView, task_path
from app.web.transactions import in_transaction, transaction
from taskledger_sdk.payload.fields import storable

blueprint = Blueprint("invoices", __name__, url_prefix="/api/v1", description="Invoices: made, printed and mailed")

PDF = "application/pdf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a request says, for its Idempotency-Key."""

    fields: Mapping[str, Any]


@blueprint.post("/invoices/workflow/start")
@blueprint.arguments(StartInvoice())
@blueprint.creates(RunDetails(), "run")
@blueprint.problem(409, "The invoice workflow is not active")
def start_invoice(fields: dict[str, Any], headers: dict[str, Any]) -> Created[RunView]:
    """Invoice a customer's orders of a period: fetch them, issue the invoice, print it, mail it."""
    key = key_of(headers, "invoices.start", Asked(fields=fields))
    priority = {"priority": fields.pop("priority")} if "priority" in fields else {}
    wanted = NewRun(input=_input(fields), labels={}, **priority)
    caller = Caller(owner_id=current_owner_id())

    quotas.check_size(wanted.input)

    def start(session: Session) -> tuple[RunView, bool]:
        allowance = quotas.allowance_in(session)
        run, is_new = workflows.start_once(
            session, invoices.WORKFLOW, wanted, key=key, caller=caller, now=utcnow(), allowance=allowance
        )
        return workflows.view(session, run), is_new

    view, is_new = in_transaction(start)
    return Created(record=view, path=run_path(view), is_new=is_new)


@blueprint.post("/invoices/workflow/scheduled")
@blueprint.arguments(ScheduleInvoice())
@blueprint.creates(ScheduleView(), "schedule")
def schedule_invoice(fields: dict[str, Any], headers: dict[str, Any]) -> Created[ScheduleRecord]:
    """Invoice a customer's orders of a period at a moment."""
    key = Asked(fields=dict(fields))
    at = fields.pop("scheduled_at")
    name = f"invoice {fields['customer_id']}"
    return _schedule(headers, key, invoices.WORKFLOW, _input(fields), name=name, run_at=at)


@blueprint.post("/invoices/workflow/recurring")
@blueprint.arguments(RepeatInvoice())
@blueprint.creates(ScheduleView(), "schedule")
def repeat_invoice(fields: dict[str, Any], headers: dict[str, Any]) -> Created[ScheduleRecord]:
    """Invoice a customer's orders by cron, each time those of the period before."""
    key = Asked(fields=dict(fields))
    rule = {"cron": fields.pop("cron_expression"), "time_zone": fields.pop("time_zone", "UTC")}
    period = fields.pop("period", "previous_month")
    if "date_from" not in fields:
        fields |= invoices.recurring_period(period)
    name = f"invoices {fields['customer_id']}"
    return _schedule(headers, key, invoices.WORKFLOW, _input(fields), name=name, **rule)


@blueprint.post("/invoices/email/scheduled")
@blueprint.arguments(ScheduleEmail())
@blueprint.creates(ScheduleView(), "schedule")
@blueprint.problem(409, "The invoice is cancelled")
def schedule_email(fields: dict[str, Any], headers: dict[str, Any]) -> Created[ScheduleRecord]:
    """Mail an invoice again at a moment, printed anew."""
    with transaction() as session:
        given = invoices.email_input(
            session, fields["number"], email=fields["email"], owner_id=current_owner_id(), seller=_seller()
        )
    key, name = Asked(fields=fields), f"mail {fields['number']}"
    return _schedule(headers, key, invoices.EMAIL_WORKFLOW, given, name=name, run_at=fields["scheduled_at"])


@blueprint.get("/invoices/tasks/<customer_id>")
@blueprint.pages(TaskList(), "invoice-tasks", query=CustomerTasks())
def list_customer_tasks(wanted: dict[str, Any], customer_id: str) -> Page[TaskRecord]:
    """List the tasks of a customer's invoices, newest first."""
    _check_path(customer_id)
    with transaction() as session:
        return invoices.tasks(
            session,
            customer_id,
            owner_id=current_owner_id(),
            before=wanted["before"],
            limit=wanted["limit"],
        )


@blueprint.get("/invoices/status/<customer_id>")
@blueprint.response(200, CustomerStatusView())
def read_customer_status(customer_id: str) -> CustomerStatus:
    """Read what became of a customer's invoices: the newest run, and the invoices."""
    _check_path(customer_id)
    with transaction() as session:
        return invoices.status(session, customer_id, owner_id=current_owner_id())


@blueprint.get("/invoices/<number>")
@blueprint.response(200, InvoiceView())
def read_invoice(number: str) -> InvoiceRecord:
    """Read an invoice or a credit note of yours."""
    _check_path(number)
    with transaction() as session:
        return invoices.read(session, number, owner_id=current_owner_id())


@blueprint.get("/invoices/<number>/pdf")
@blueprint.arguments(WaitForPdf(), location="query")
@blueprint.response(200, description="The PDF", content_type=PDF)
@blueprint.alt_response(202, schema=TaskView(), description="It had expired: the task that prints it again")
@blueprint.problem(409, "Printing it again has failed")
@blueprint.problem(503, "The store does not answer")
def download_pdf(wanted: dict[str, Any], number: str) -> Any:
    """Download an invoice as a PDF; one that has expired is printed again, and ?wait= answers when it is there."""
    _check_path(number)
    found = _pdf(number)
    if found.task is not None and wanted["wait"]:
        waited = hub().wait(found.task, seconds=wanted["wait"], caller=current_caller())
        found = _pdf(number) if waited.is_finished else found
    if found.artifact is not None:
        return content_of(found.artifact)
    assert found.task is not None  # noqa: S101 (one of the two)
    body = TaskView().dump(found.task)
    response = jsonify(body)
    response.status_code = 202
    response.headers.update({"Location": task_path(found.task), "Retry-After": "1"})
    return response


def _check_path(part: str) -> None:
    """Raises NotFound for what PostgreSQL could not compare with anything."""
    try:
        storable(part)
    except ValueError:
        raise NotFound("There is no such customer or invoice: NUL characters are in no name.") from None


def _pdf(number: str) -> Pdf:
    def find(session: Session) -> Pdf:
        allowance = quotas.allowance_in(session)
        return invoices.pdf(
            session, number, owner_id=current_owner_id(), seller=_seller(), now=utcnow(), allowance=allowance
        )

    return in_transaction(find)


def _schedule(
    headers: dict[str, Any], asked: Asked, workflow: str, given: dict[str, Any], **rule: Any
) -> Created[ScheduleRecord]:
    key = key_of(headers, f"invoices.{workflow}.{'later' if 'run_at' in rule else 'again'}", asked)
    wanted = NewSchedule(workflow=WorkflowTemplate(name=workflow, input=given), **rule)
    most, now = current_app.config["MAX_SCHEDULES_PER_OWNER"], utcnow()
    try:
        with transaction() as session:
            made, is_new = schedules.create_once(
                session,
                wanted,
                key=key,
                owner_id=current_owner_id(),
                most=most,
                now=now,
                allowance=quotas.allowance_in(session),
                numbers_name=True,
            )
    except Refused as error:
        raise _in_words_of_the_request(error, now) from None
    return Created(record=made, path=schedule_path(made), is_new=is_new)


def _in_words_of_the_request(error: Refused, now: datetime) -> Refused:
    if error.code == "run_at_is_past":
        return Refused({"scheduled_at": [f"must be in the future; it is {now:%Y-%m-%dT%H:%M:%SZ} here"]})
    if "run_at" in error.errors:
        return Refused({"scheduled_at": error.errors["run_at"]})
    if "cron" in error.errors:
        return Refused({"cron_expression": error.errors["cron"]})
    return error


def _input(fields: Mapping[str, Any]) -> dict[str, Any]:
    return invoices.input_of(fields, seller=_seller())


def _seller() -> str:
    return current_settings().invoice_seller
