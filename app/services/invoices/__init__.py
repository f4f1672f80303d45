"""Invoices, a product built on the core: numbers without gaps, one invoice a customer and period, credit notes."""

from app.services.invoices.amounts import Amounts, compute
from app.services.invoices.cancelling import cancel
from app.services.invoices.issuing import issue
from app.services.invoices.printing import Pdf, pdf
from app.services.invoices.records import InvoiceRecord, of_customer, read
from app.services.invoices.workflows import (
    EMAIL_WORKFLOW,
    PERIODS,
    WORKFLOW,
    CustomerStatus,
    email_input,
    input_of,
    recurring_period,
    status,
    tasks,
)

__all__ = [
    "EMAIL_WORKFLOW",
    "PERIODS",
    "WORKFLOW",
    "Amounts",
    "CustomerStatus",
    "InvoiceRecord",
    "Pdf",
    "cancel",
    "compute",
    "email_input",
    "input_of",
    "issue",
    "of_customer",
    "pdf",
    "read",
    "recurring_period",
    "status",
    "tasks",
]
