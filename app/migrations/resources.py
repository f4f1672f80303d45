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
