"""Names of the operations, by which generated clients call them: `operationId`. They are part of the contract."""

from typing import Any

from flask import Flask

from app.web.access import operations

# Those of functions stand beside their resource and are short; a client has all of them side by side.
LONGER = {
    "draw_run": "draw_run_graph",
    "draw_workflow": "draw_workflow_graph",
    "download_pdf": "download_invoice_pdf",
    "failed_count": "count_failed_tasks",
    "list_attempts": "list_task_attempts",
    "list_children": "list_task_children",
    "list_customer_tasks": "list_invoice_tasks",
    "list_deliveries": "list_webhook_deliveries",
    "list_entries": "list_audit_entries",
    "list_events": "list_task_events",
    "list_groups": "list_dead_letter_groups",
    "list_logs": "list_task_logs",
    "list_signals": "list_task_signals",
    "list_slots": "list_schedule_slots",
    "list_steps": "list_task_steps",
    "list_usage": "list_limit_usage",
    "list_versions": "list_workflow_versions",
    "live": "check_live",
    "overloaded": "list_overloaded_queues",
    "pause_type": "pause_task_type",
    "pending_count": "count_pending_tasks",
    "queue_status": "read_queue_status",
    "read_customer_status": "read_invoice_status",
    "read_report": "check_integrity",
    "ready": "check_ready",
    "redeliver": "redeliver_webhook",
    "refresh": "refresh_tokens",
    "resume_type": "resume_task_type",
    "rotate_secret": "rotate_webhook_secret",
    "scaling": "read_scaling",
    "schedule_email": "schedule_invoice_email",
    "send_run_signal": "signal_run",
    "send_signal": "signal_task",
    "why": "explain_task",
    "why_run": "explain_run",
    "why_schedule": "explain_schedule",
}


def describe(app: Flask, document: dict[str, Any]) -> None:
    """Give each operation of the document its name, in camel case as OpenAPI's generators like it."""
    for rule, _, operation in operations(app, document):
        function = app.view_functions[rule.endpoint].__name__
        first, *rest = LONGER.get(function, function).split("_")
        operation["operationId"] = first + "".join(word.capitalize() for word in rest)
