"""What a task type is written with; see docs/how-to/add-a-task-type.md."""

from tasks.context import TaskContext
from tasks.errors import PermanentError, RetryLater
from tasks.payload import Places, rule
from tasks.registry import task_type
from tasks.retry import RetryPolicy
from tasks.transports import register

__all__ = ["PermanentError", "Places", "RetryLater", "RetryPolicy", "TaskContext", "rule", "task_type"]

register()  # nats:// and tls://, wherever a task type is
