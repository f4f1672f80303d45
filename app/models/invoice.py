"""Tables of invoices: series, invoices with their credit notes, lines and taxes. Money is numeric, never a float."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id

Money = sa.Numeric()  # without a scale, so that 10.00 EUR stays 10.00 and 10 JPY stays 10


class InvoiceSeries(Base):
    """A series of numbers; its row is locked while one is drawn, so that there is no gap and no repeat."""

    __tablename__ = "invoice_series"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Row")
    owner_id: Mapped[UUID | None] = mapped_column(comment="Whose series it is (users.id); null: the system's")
    name: Mapped[str] = mapped_column(comment="What its numbers begin with")
    last_number: Mapped[int] = mapped_column(sa.BigInteger, comment="The last number drawn; 0 before the first")

    __table_args__ = (
        sa.UniqueConstraint("owner_id", "name", postgresql_nulls_not_distinct=True),
        {"comment": "Series of invoice numbers"},
    )


class Invoice(Base):
    """An invoice, or the credit note that cancels one."""

    __tablename__ = "invoices"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7")
    owner_id: Mapped[UUID | None] = mapped_column(comment="Whose it is (users.id); null: the system's")
    number: Mapped[str] = mapped_column(comment="Series and sequence, as printed")
    series: Mapped[str] = mapped_column(comment="The series that the number is of")
    sequence: Mapped[int] = mapped_column(sa.BigInteger, comment="Its place in the series, from 1 without gaps")
    kind: Mapped[str] = mapped_column(comment="invoice or credit_note")
    status: Mapped[str] = mapped_column(comment="ISSUED, or CANCELLED by a credit note")
    customer_id: Mapped[str] = mapped_column(comment="Who pays")
    customer_name: Mapped[str | None] = mapped_column(comment="Their name, as printed")
    date_from: Mapped[date] = mapped_column(comment="First day of the period")
    date_to: Mapped[date] = mapped_column(comment="Last day of the period")
    currency: Mapped[str] = mapped_column(comment="ISO 4217")
    net: Mapped[Decimal] = mapped_column(Money, comment="Sum of the lines, before tax")
    tax: Mapped[Decimal] = mapped_column(Money, comment="Sum of the taxes")
    total: Mapped[Decimal] = mapped_column(Money, comment="What is to be paid")
    issued_on: Mapped[date] = mapped_column(comment="Date of the invoice, in its time_zone")
    due_on: Mapped[date] = mapped_column(comment="Last day to pay")
    time_zone: Mapped[str | None] = mapped_column(comment="IANA name of the zone its dates are days of; null: UTC")
    digest: Mapped[str] = mapped_column(comment="SHA-256 of what was charged: equal for equal invoices")
    task_id: Mapped[UUID] = mapped_column(comment="The task that issued it")
    pdf_task_id: Mapped[UUID | None] = mapped_column(
        comment="The task that printed it again, last; null: the PDF of its run is the only one"
    )
    cancels: Mapped[UUID | None] = mapped_column(sa.ForeignKey("invoices.id"), comment="Of a credit note: the invoice")
    reason: Mapped[str | None] = mapped_column(comment="Of a credit note: why")
    created_at: Mapped[datetime] = mapped_column(comment="When the number was drawn")
    cancelled_at: Mapped[datetime | None] = mapped_column(comment="When it was cancelled")

    __table_args__ = (
        sa.UniqueConstraint("owner_id", "series", "sequence", postgresql_nulls_not_distinct=True),
        sa.UniqueConstraint("owner_id", "number", postgresql_nulls_not_distinct=True),
        # One invoice a customer and period; after it was cancelled there may be another.
        sa.Index(
            "uq_invoices_customer_period",
            "owner_id",
            "customer_id",
            "date_from",
            "date_to",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=sa.text("kind = 'invoice' AND status = 'ISSUED'"),
        ),
        # One credit note an invoice.
        sa.Index("uq_invoices_cancels", "cancels", unique=True, postgresql_where=sa.text("cancels IS NOT NULL")),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name="kind_known"),
        sa.CheckConstraint("status IN ('ISSUED', 'CANCELLED')", name="status_known"),
        sa.CheckConstraint("(kind = 'credit_note') = (cancels IS NOT NULL)", name="credit_notes_cancel"),
        sa.CheckConstraint("(status = 'CANCELLED') = (cancelled_at IS NOT NULL)", name="cancelled_at_when_cancelled"),
        sa.CheckConstraint("date_from <= date_to", name="period_in_order"),
        sa.CheckConstraint("sequence > 0", name="sequence_from_one"),
        sa.CheckConstraint("total = net + tax", name="total_adds_up"),
        {"comment": "Invoices and credit notes"},
    )


class InvoiceLine(Base):
    """One position of an invoice."""

    __tablename__ = "invoice_lines"

    invoice_id: Mapped[UUID] = mapped_column(sa.ForeignKey("invoices.id"), primary_key=True, comment="The invoice")
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 1, as printed")
    description: Mapped[str] = mapped_column(comment="What is charged")
    quantity: Mapped[Decimal] = mapped_column(sa.Numeric(), comment="How many; negative on a credit note")
    unit_price: Mapped[Decimal] = mapped_column(Money, comment="Price of one, before tax")
    tax_percent: Mapped[Decimal] = mapped_column(sa.Numeric(), comment="Rate of its tax")
    net: Mapped[Decimal] = mapped_column(Money, comment="Quantity times price, rounded to the currency")

    __table_args__ = ({"comment": "Positions of invoices"},)


class InvoiceTax(Base):
    """The tax of all lines of an invoice that have one rate."""

    __tablename__ = "invoice_taxes"

    invoice_id: Mapped[UUID] = mapped_column(sa.ForeignKey("invoices.id"), primary_key=True, comment="The invoice")
    tax_percent: Mapped[Decimal] = mapped_column(sa.Numeric(), primary_key=True, comment="The rate")
    net: Mapped[Decimal] = mapped_column(Money, comment="Sum of the lines at this rate")
    tax: Mapped[Decimal] = mapped_column(Money, comment="Tax on that sum, rounded to the currency")

    __table_args__ = ({"comment": "Taxes of invoices, one row a rate"},)
