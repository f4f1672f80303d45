"""Invoices remember the time zone that their dates are days of."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add invoices.time_zone; null stays for what was issued before, and by processes of before."""
    op.add_column(
        "invoices",
        sa.Column(
            "time_zone", sa.Text(), nullable=True, comment="IANA name of the zone its dates are days of; null: UTC"
        ),
    )
    op.alter_column("invoices", "issued_on", comment="Date of the invoice, in its time_zone")


def downgrade() -> None:
    """Back to dates in UTC."""
    op.alter_column("invoices", "issued_on", comment="Date of the invoice (UTC)")
    op.drop_column("invoices", "time_zone")
