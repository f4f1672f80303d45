"""Files, invoices, and which task undoes which."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of artifacts, compensations and invoices."""
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; names the content in the store"),
        sa.Column(
            "owner_id", sa.Uuid(), nullable=True, comment="Whose it is (users.id); null: submitted by the system"
        ),
        sa.Column("task_id", sa.Uuid(), nullable=True, comment="The task that saved it; null: it was uploaded"),
        sa.Column("name", sa.Text(), nullable=False, comment="File name, for people; never a path"),
        sa.Column("media_type", sa.Text(), nullable=False, comment="What kind of file it is said to be"),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="Bytes; null while it is being stored"),
        sa.Column(
            "sha256", sa.Text(), nullable=True, comment="Of its content, hexadecimal; null while it is being stored"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When storing it began"),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was there; null: not yet, or no more",
        ),
        sa.Column(
            "remove_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When content and row are removed; null: never",
        ),
        sa.CheckConstraint(
            "stored_at IS NOT NULL OR remove_at IS NOT NULL", name=op.f("ck_artifacts_removed_unless_stored")
        ),
        sa.CheckConstraint(
            "stored_at IS NULL OR (size IS NOT NULL AND sha256 IS NOT NULL)",
            name=op.f("ck_artifacts_measured_when_stored"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        comment="Files that were uploaded or that tasks made; the content is in the store",
    )
    op.create_index(
        "ix_artifacts_owner_id_id",
        "artifacts",
        ["owner_id", "id"],
        unique=False,
        postgresql_where=sa.text("stored_at IS NOT NULL"),
    )
    op.create_index(
        "ix_artifacts_remove_at",
        "artifacts",
        ["remove_at"],
        unique=False,
        postgresql_where=sa.text("remove_at IS NOT NULL"),
    )
    op.create_index(
        "uq_artifacts_task_id_name",
        "artifacts",
        ["task_id", "name"],
        unique=True,
        postgresql_where=sa.text("task_id IS NOT NULL AND stored_at IS NOT NULL"),
    )
    op.create_table(
        "compensations",
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task that is undone"),
        sa.Column("compensation_id", sa.Uuid(), nullable=False, comment="The task that undoes it"),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), nullable=False, comment="When undoing it was first asked for"
        ),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True, comment="When it was undone; null: not yet"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_compensations")),
        comment="Tasks that are undone, each by one other task",
    )
    op.create_table(
        "invoice_series",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="Whose series it is (users.id); null: the system's"),
        sa.Column("name", sa.Text(), nullable=False, comment="What its numbers begin with"),
        sa.Column("last_number", sa.BigInteger(), nullable=False, comment="The last number drawn; 0 before the first"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_series")),
        sa.UniqueConstraint(
            "owner_id", "name", name=op.f("uq_invoice_series_owner_id_name"), postgresql_nulls_not_distinct=True
        ),
        comment="Series of invoice numbers",
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="Whose it is (users.id); null: the system's"),
        sa.Column("number", sa.Text(), nullable=False, comment="Series and sequence, as printed"),
        sa.Column("series", sa.Text(), nullable=False, comment="The series that the number is of"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="Its place in the series, from 1 without gaps"),
        sa.Column("kind", sa.Text(), nullable=False, comment="invoice or credit_note"),
        sa.Column("status", sa.Text(), nullable=False, comment="ISSUED, or CANCELLED by a credit note"),
        sa.Column("customer_id", sa.Text(), nullable=False, comment="Who pays"),
        sa.Column("customer_name", sa.Text(), nullable=True, comment="Their name, as printed"),
        sa.Column("date_from", sa.Date(), nullable=False, comment="First day of the period"),
        sa.Column("date_to", sa.Date(), nullable=False, comment="Last day of the period"),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217"),
        sa.Column("net", sa.Numeric(), nullable=False, comment="Sum of the lines, before tax"),
        sa.Column("tax", sa.Numeric(), nullable=False, comment="Sum of the taxes"),
        sa.Column("total", sa.Numeric(), nullable=False, comment="What is to be paid"),
        sa.Column("issued_on", sa.Date(), nullable=False, comment="Date of the invoice (UTC)"),
        sa.Column("due_on", sa.Date(), nullable=False, comment="Last day to pay"),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of what was charged: equal for equal invoices"),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task that issued it"),
        sa.Column("cancels", sa.Uuid(), nullable=True, comment="Of a credit note: the invoice"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Of a credit note: why"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When the number was drawn"),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True, comment="When it was cancelled"),
        sa.CheckConstraint(
            "(kind = 'credit_note') = (cancels IS NOT NULL)", name=op.f("ck_invoices_credit_notes_cancel")
        ),
        sa.CheckConstraint(
            "(status = 'CANCELLED') = (cancelled_at IS NOT NULL)", name=op.f("ck_invoices_cancelled_at_when_cancelled")
        ),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name=op.f("ck_invoices_kind_known")),
        sa.CheckConstraint("status IN ('ISSUED', 'CANCELLED')", name=op.f("ck_invoices_status_known")),
        sa.CheckConstraint("date_from <= date_to", name=op.f("ck_invoices_period_in_order")),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_invoices_sequence_from_one")),
        sa.CheckConstraint("total = net + tax", name=op.f("ck_invoices_total_adds_up")),
        sa.ForeignKeyConstraint(["cancels"], ["invoices.id"], name=op.f("fk_invoices_cancels_invoices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint(
            "owner_id", "number", name=op.f("uq_invoices_owner_id_number"), postgresql_nulls_not_distinct=True
        ),
        sa.UniqueConstraint(
            "owner_id",
            "series",
            "sequence",
            name=op.f("uq_invoices_owner_id_series_sequence"),
            postgresql_nulls_not_distinct=True,
        ),
        comment="Invoices and credit notes",
    )
    op.create_index(
        "uq_invoices_cancels", "invoices", ["cancels"], unique=True, postgresql_where=sa.text("cancels IS NOT NULL")
    )
    op.create_index(
        "uq_invoices_customer_period",
        "invoices",
        ["owner_id", "customer_id", "date_from", "date_to"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("kind = 'invoice' AND status = 'ISSUED'"),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("invoice_id", sa.Uuid(), nullable=False, comment="The invoice"),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="From 1, as printed"),
        sa.Column("description", sa.Text(), nullable=False, comment="What is charged"),
        sa.Column("quantity", sa.Numeric(), nullable=False, comment="How many; negative on a credit note"),
        sa.Column("unit_price", sa.Numeric(), nullable=False, comment="Price of one, before tax"),
        sa.Column("tax_percent", sa.Numeric(), nullable=False, comment="Rate of its tax"),
        sa.Column("net", sa.Numeric(), nullable=False, comment="Quantity times price, rounded to the currency"),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_lines_invoice_id_invoices")),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_lines")),
        comment="Positions of invoices",
    )
    op.create_table(
        "invoice_taxes",
        sa.Column("invoice_id", sa.Uuid(), nullable=False, comment="The invoice"),
        sa.Column("tax_percent", sa.Numeric(), nullable=False, comment="The rate"),
        sa.Column("net", sa.Numeric(), nullable=False, comment="Sum of the lines at this rate"),
        sa.Column("tax", sa.Numeric(), nullable=False, comment="Tax on that sum, rounded to the currency"),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_taxes_invoice_id_invoices")),
        sa.PrimaryKeyConstraint("invoice_id", "tax_percent", name=op.f("pk_invoice_taxes")),
        comment="Taxes of invoices, one row a rate",
    )


def downgrade() -> None:
    """Drop them, with what they hold."""
    for table in ("invoice_taxes", "invoice_lines", "invoices", "invoice_series", "compensations", "artifacts"):
        op.drop_table(table)
