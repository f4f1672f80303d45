"""Migrations leave tables that the version before still works with: expand, migrate, contract (docs/how-to/upgrade.md).

The check reads the calls in upgrade(); SQL in op.execute() is searched for the same things.
"""

import ast
import re
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[2] / "app" / "migrations" / "versions"
FIRST_RELEASE = "0011"
"""The newest migration of the first release: before it there was no installation to upgrade."""

TAKING_AWAY = {"drop_table", "drop_column", "rename_table", "alter_column"}
HARMLESS = {"comment", "existing_comment", "existing_type", "nullable"}
IN_SQL = {
    "takes something away": r"\bDROP\s+(TABLE|COLUMN|SCHEMA|VIEW)\b|\bRENAME\s+(TO|COLUMN)\b",
    "changes a type": r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "makes a column stricter": r"\bSET\s+NOT\s+NULL\b",
    "validates a constraint at once": r"\bADD\s+CONSTRAINT\b(?!.*\bNOT\s+VALID\b)",
    "locks writes out while it makes an index": r"\bCREATE\s+(UNIQUE\s+)?INDEX\b(?!\s+CONCURRENTLY)",
}


def faults(source: str) -> list[str]:
    """What in this migration the version before could not live with; nothing where it says why that is well."""
    tree = ast.parse(source)
    if any(isinstance(each, ast.Assign) and getattr(each.targets[0], "id", "") == "contracts" for each in tree.body):
        return []
    upgrade = next(each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "upgrade")
    made = {_text(call.args[0]) for call in _calls(upgrade) if _name(call) == "create_table" and call.args}
    return [fault for call in _calls(upgrade) for fault in _of_call(call, made)]


def _of_call(call: ast.Call, made: set[str]):
    name, options = _name(call), {each.arg: each.value for each in call.keywords}
    if name in TAKING_AWAY and not (
        name == "alter_column" and set(options) <= {"comment", "existing_type", "nullable"}
    ):
        yield f"line {call.lineno}: {name} takes away or changes what the version before uses"
    if name == "alter_column" and getattr(options.get("nullable"), "value", True) is False:
        yield f"line {call.lineno}: the version before writes no value into a column that becomes NOT NULL"
    if name == "add_column":
        column = {each.arg: each.value for each in call.args[1].keywords}
        is_strict = getattr(column.get("nullable"), "value", True) is False
        if is_strict and "server_default" not in column:
            yield f"line {call.lineno}: a new column that is NOT NULL needs a server_default"
    if name == "create_index" and _text(call.args[1]) not in made and "postgresql_concurrently" not in options:
        yield f"line {call.lineno}: an index on a table that is there needs postgresql_concurrently=True"
    if name in ("create_check_constraint", "create_foreign_key") and "postgresql_not_valid" not in options:
        yield f"line {call.lineno}: a constraint on a table that is there needs postgresql_not_valid=True at first"
    if name == "execute":
        sql = " ".join(
            each.value for each in ast.walk(call) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )
        for what, pattern in IN_SQL.items():
            if re.search(pattern, sql, re.IGNORECASE | re.DOTALL):
                yield f"line {call.lineno}: the SQL {what}"


def _calls(function: ast.FunctionDef) -> list[ast.Call]:
    return [each for each in ast.walk(function) if isinstance(each, ast.Call)]


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _text(node: ast.expr) -> str:
    return str(getattr(node, "value", ""))


def test_every_migration_since_the_first_release_keeps_the_version_before_working():
    new = [path for path in sorted(VERSIONS.glob("[0-9]*.py")) if path.name[:4] > FIRST_RELEASE]

    assert {path.name: found for path in new if (found := faults(path.read_text(encoding="utf-8")))} == {}


EXPANDING = [
    'op.add_column("tasks", sa.Column("note", sa.Text(), nullable=True))',
    'op.add_column("tasks", sa.Column("n", sa.Integer(), nullable=False, server_default="0"))',
    'op.create_table("new", sa.Column("id", sa.Uuid(), nullable=False))\n    op.create_index("ix", "new", ["id"])',
    'op.create_index("ix", "tasks", ["note"], postgresql_concurrently=True)',
    'op.alter_column("tasks", "note", comment="For people")',
    'op.execute("ALTER TABLE tasks ADD CONSTRAINT c CHECK (n > 0) NOT VALID")',
    'op.execute("CREATE INDEX CONCURRENTLY ix ON tasks (note)")',
]
CONTRACTING = [
    'op.drop_column("tasks", "note")',
    'op.drop_table("tasks")',
    'op.rename_table("tasks", "jobs")',
    'op.alter_column("tasks", "note", new_column_name="remark")',
    'op.alter_column("tasks", "note", nullable=False)',
    'op.alter_column("tasks", "n", type_=sa.BigInteger())',
    'op.add_column("tasks", sa.Column("n", sa.Integer(), nullable=False))',
    'op.create_index("ix", "tasks", ["note"])',
    'op.create_foreign_key("fk", "tasks", "users", ["owner_id"], ["id"])',
    'op.execute("ALTER TABLE tasks DROP COLUMN note")',
    'op.execute("ALTER TABLE tasks ALTER COLUMN n TYPE bigint")',
    'op.execute("ALTER TABLE tasks ADD CONSTRAINT c CHECK (n > 0)")',
    'op.execute("CREATE INDEX ix ON tasks (note)")',
    'op.execute("ALTER TABLE tasks ALTER n SET NOT NULL")',
]


@pytest.mark.parametrize("statement", EXPANDING)
def test_what_only_adds_is_accepted(statement):
    assert faults(f"def upgrade():\n    {statement}\n") == []


@pytest.mark.parametrize("statement", CONTRACTING)
def test_what_the_version_before_would_stumble_over_is_refused(statement):
    assert len(faults(f"def upgrade():\n    {statement}\n")) >= 1


def test_a_contraction_that_says_why_is_accepted():
    assert faults('contracts = "0.3 does not read it"\n\n\ndef upgrade():\n    op.drop_column("tasks", "note")\n') == []
