"""Names of schedules are unique within an account; a schedule may come from code."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

contracts = (
    "The version before makes and renames schedules as ever: a trigger gives a name that is taken a number, so that the "
    "unique index refuses nothing. The table has a few thousand rows at most, and its index is made in a moment."
)


def upgrade() -> None:
    """Number the names that are there twice, keep them apart from now on, and add what schedules of code need."""
    op.alter_column("schedules", "name", comment="Its name, unique within its account; null: it has none")
    op.add_column(
        "schedules",
        sa.Column(
            "declared", sa.Text(), nullable=True, comment="Digest of its declaration in code; null: a person made it"
        ),
    )
    op.add_column(
        "schedules",
        sa.Column(
            "version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="How many rules it has had: each change of what it does, or when, is the next",
        ),
    )
    op.add_column(
        "schedules",
        sa.Column(
            "withdrawn",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="It was switched off because its declaration went from the code; it goes on when that comes back",
        ),
    )
    resources.run("0022_schedule_names.sql")


def downgrade() -> None:
    """Take it all away; names that were numbered keep their numbers."""
    op.execute("DROP INDEX uq_schedules_owner_name")
    op.execute("DROP TRIGGER number_schedule_name ON schedules")
    op.execute("DROP FUNCTION taskledger.number_schedule_name()")
    op.drop_column("schedules", "withdrawn")
    op.drop_column("schedules", "version")
    op.drop_column("schedules", "declared")
    op.alter_column("schedules", "name", comment="A name for people; not unique")
