"""The PDF of an invoice: the one that its run made, or, when that has expired, one that is printed again."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound
from app.models import Status, TaskRecord
from app.services import artifacts
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.artifacts import ArtifactRecord
from app.services.invoices.records import INVOICES, InvoiceRecord, of_owner, read
from app.services.invoices.workflows import printed
from app.services.submission import Submission, accept
from app.services.tasks import records as task_service

PDF, STEP = "generate_pdf", "generate_pdf"
_OF_RUN = sa.text("""
    SELECT step.task_id
    FROM tasks AS task
    JOIN workflow_steps AS step ON step.run_id = task.run_id AND step.key = :step
    WHERE task.id = :task_id AND step.task_id IS NOT NULL
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pdf:
    """The file, or else the task that prints it."""

    artifact: ArtifactRecord | None = None
    task: TaskRecord | None = None


def pdf(
    session: Session,
    number: str,
    *,
    owner_id: UUID | None,
    seller: str,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> Pdf:
    """The PDF of an invoice or credit note.

    Raises NotFound, Conflict where printing it again has failed, and TypeNotAllowed or QuotaReached where nothing may
    be printed again now.
    """
    invoice = read(session, number, owner_id=owner_id)
    stored = _stored(session, invoice)
    if stored is not None:
        return Pdf(artifact=stored)
    # Of two requests at once, the second finds what the first submitted.
    locked = sa.select(INVOICES.c.pdf_task_id).where(INVOICES.c.number == number, of_owner(owner_id)).with_for_update()
    task = _printing(session, session.execute(locked).scalar_one())
    if task is not None and task.status in (Status.FAILED, Status.CANCELLED):
        raise Conflict(f"Printing invoice {number} again ended {task.status}: see task {task.id}, and retry it.")
    if task is None or task.is_finished:
        allowance.check_types([PDF])
        allowance.room_of(invoice.owner_id)(1)
        task = _print(session, invoice, seller, now)
    return Pdf(task=task)


def _stored(session: Session, invoice: InvoiceRecord) -> ArtifactRecord | None:
    of_run = session.scalar(_OF_RUN, {"task_id": invoice.task_id, "step": STEP})
    for task_id in (invoice.pdf_task_id, of_run):
        if task_id is not None:
            files, _ = artifacts.find(session, owner=invoice.owner_id, task_id=task_id, limit=1)
            if files:
                return files[0]
    return None


def _printing(session: Session, task_id: UUID | None) -> TaskRecord | None:
    try:
        return None if task_id is None else task_service.read(session, task_id, owner=None)
    except NotFound:
        return None


def _print(session: Session, invoice: InvoiceRecord, seller: str, now: datetime) -> TaskRecord:
    payload: Any = {"template": "invoice", "data": printed(invoice), "seller": json.loads(seller) if seller else None}
    if invoice.kind == "credit_note":
        payload["note"] = f"Credit note. {invoice.reason or ''}"[:1000]
    printing = Submission(type=PDF, payload=payload, name=f"print {invoice.number} again")
    task = accept(session, printing, owner_id=invoice.owner_id, now=now).task
    session.execute(sa.update(INVOICES).where(INVOICES.c.id == invoice.id).values(pdf_task_id=task.id))
    return task
