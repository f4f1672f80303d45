"""SQL of a migration that is too long to stand in it: files of app/migrations/sql/, named by migration and concern.

A file is never changed once it was released. A later migration that changes a table drops the views that read it and
runs their file again, or a new file that replaces them.
"""

from pathlib import Path

from alembic import op

FOLDER = Path(__file__).parent / "sql"


def run(name: str) -> None:
    """Run all statements of a file, as they stand there: `%` and `:` mean nothing special."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(text, execution_options={"no_parameters": True})


_AMEND = """
DO $do$
DECLARE
    made text := pg_get_functiondef({function}::regprocedure);
BEGIN
    IF position({before} IN made) = 0 THEN
        RAISE EXCEPTION 'the function % is not what this migration expects', {function};
    END IF;
    EXECUTE replace(made, {before}, {after});
END $do$
"""


def amend(function: str, before: str, after: str) -> None:
    """Replace a part of a function's text, so that what else was changed in it, and is set for it, stays."""
    quoted = {"function": f"'{function}'", "before": f"$old${before}$old$", "after": f"$new${after}$new$"}
    op.get_bind().exec_driver_sql(_AMEND.format(**quoted), execution_options={"no_parameters": True})
