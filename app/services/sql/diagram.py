"""The tables as an entity-relationship diagram in Mermaid, made from the models so that it is never out of date."""

from collections.abc import Iterator

import sqlalchemy as sa

from app.database import Base

# There are few foreign keys: hot tables do without them, and rows may outlive what they name. These are meant all the
# same, as (table, column) -> table; columns of every table come first.
NAMED = {"owner_id": "users", "user_id": "users", "actor_id": "users", "task_id": "tasks", "last_task_id": "tasks"}
SHORT = {
    "DATETIME": "timestamptz",
    "BIGINTEGER": "bigint",
    "SMALLINTEGER": "smallint",
    "LARGEBINARY": "bytea",
    "ARRAY": "list",
}


def mermaid() -> str:
    """All tables with their columns, and the lines between them."""
    tables = sorted(Base.metadata.tables.values(), key=lambda table: table.name)
    lines = ["erDiagram"]
    for table in tables:
        lines += [f"    {table.name} {{", *(f"        {_column(column)}" for column in table.c), "    }"]
    lines += sorted({line for table in tables for line in _relations(table)})
    return "\n".join(lines)


def _column(column: sa.Column[object]) -> str:
    kind = type(column.type).__name__.upper()
    mark = " PK" if column.primary_key else " FK" if _target(column) else ""
    return f"{SHORT.get(kind, kind.lower())} {column.name}{mark}"


def _relations(table: sa.Table) -> Iterator[str]:
    for column in table.c:
        target = _target(column)
        if target is not None:
            yield f'    {target} ||--o{{ {table.name} : "{column.name}"'


def _target(column: sa.Column[object]) -> str | None:
    for key in column.foreign_keys:
        return key.column.table.name
    return NAMED.get(column.name)
