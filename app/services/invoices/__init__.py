"""Invoices, a product built on the core: numbers without gaps, one invoice a customer and period, credit notes."""

from app.services.invoices.amounts import Amounts, compute
from app.services.invoices.cancelling import cancel
from app.services.invoices.issuing import issue
from app.services.invoices.records import InvoiceRecord, of_customer, read

__all__ = ["Amounts", "InvoiceRecord", "cancel", "compute", "issue", "of_customer", "read"]
