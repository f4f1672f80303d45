"""Workflows: definitions, runs and their steps (docs/reference/workflows.md)."""

from app.services.workflows.advancing import advance
from app.services.workflows.changing import (
    NewRun,
    cancel,
    check_input,
    compensate,
    lock_run,
    pause,
    places_of,
    resume,
    retry,
    start,
    start_inline_once,
    start_once,
)
from app.services.workflows.definitions import (
    Caller,
    NewWorkflow,
    change,
    checked,
    create_once,
    delete,
    set_active,
    types_of,
    version_list,
)
from app.services.workflows.definitions import find as find_workflows
from app.services.workflows.definitions import read as read_workflow
from app.services.workflows.reading import Filter, RunView, StepView, events, find, read, task_ids, view
from app.services.workflows.records import WorkflowRecord
from app.services.workflows.run_statements import lock as lock_runs
from app.services.workflows.versions import definition_of
from taskledger_sdk.workflows import Definition

__all__ = [
    "Caller",
    "Definition",
    "Filter",
    "NewRun",
    "NewWorkflow",
    "RunView",
    "StepView",
    "WorkflowRecord",
    "advance",
    "cancel",
    "change",
    "check_input",
    "checked",
    "compensate",
    "create_once",
    "definition_of",
    "delete",
    "events",
    "find",
    "find_workflows",
    "lock_run",
    "lock_runs",
    "pause",
    "places_of",
    "read",
    "read_workflow",
    "resume",
    "retry",
    "set_active",
    "start",
    "start_inline_once",
    "start_once",
    "task_ids",
    "types_of",
    "version_list",
    "view",
]
