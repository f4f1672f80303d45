"""wait_to_go: waits for the signal `go`, and ends; what a benchmark has a hundred thousand of."""

from taskledger_sdk import DurableTask, task_type


@task_type("wait_to_go", durable=True)
def wait_to_go(task: DurableTask, payload: int) -> int:
    """Return its payload once it was told to go."""
    task.wait_for("go")
    return payload
