"""The service's own task types and workflows, and what they need; authors of others write with `taskledger_sdk`."""

from taskledger_sdk import PermanentError, Places, RetryLater, RetryPolicy, TaskContext, packages, rule, task_type
from tasks.transports import register

# Files that were written into this checkout before there was an SDK import these from here; until 0.3.
__all__ = ["PermanentError", "Places", "RetryLater", "RetryPolicy", "TaskContext", "rule", "task_type"]

BUILT_IN = ("tasks.handlers", "tasks.workflows", "tasks.schedules")

packages.use(*BUILT_IN)
register()  # nats:// and tls://, wherever a task type is
