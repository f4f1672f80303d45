"""How tasks are shown: one table, for lists and for what was waited for."""

from typing import Any

from taskledger_sdk.cli import text
from taskledger_sdk.cli.output import STATUS
from taskledger_sdk.cli.tables import Column, column

NO_TASKS = "There are no such tasks."


def outcome(task: Any) -> str:
    """The result, or what keeps it from being there."""
    if task["status"] == "COMPLETED":
        return text.compact(task["result"])
    return text.compact((task["error"] or {}).get("message") or task.get("reason") or "")


COLUMNS = (
    column("id"),
    column("type"),
    STATUS,
    column("attempt", only_wide=True),
    Column(heading="created", value=lambda task: text.moment(task["created_at"]), only_wide=True),
    Column(heading="result or error", value=outcome),
)
