"""append_line: leaves a trace of every run, whatever becomes of its outcome; for tests only."""

import os
from dataclasses import dataclass

from taskledger_sdk import TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class AppendLine:
    """Where the trace is left."""

    path: str


@task_type("append_line", examples=({"path": "/tmp/runs"},))
def append_line(task: TaskContext, payload: AppendLine) -> int:
    """Append the task's id and attempt to a file; return the process id."""
    with open(payload.path, "a") as file:
        file.write(f"{task.id} {task.attempt}\n")
    return os.getpid()
