"""fail_twice: fails on its first two attempts; for tests only."""

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@task_type("fail_twice", retry=RetryPolicy(max_retries=3, base_seconds=0.1, cap_seconds=0.2), examples=("",))
def fail_twice(task: TaskContext, payload: str) -> int:
    """Return the attempt that worked: the third."""
    if task.attempt <= 2:
        raise RuntimeError(f"attempt {task.attempt} was to fail")
    return task.attempt
