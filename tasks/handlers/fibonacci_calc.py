"""fibonacci_calc: the n-th Fibonacci number, exactly."""

from typing import Annotated

from marshmallow.validate import Range

from taskledger_sdk import TaskContext, rule, task_type


@task_type("fibonacci_calc", examples=(10,), chunk=100, max_seconds_each=0.05)
def fibonacci_calc(
    _task: TaskContext, payload: Annotated[int, rule(Range(min=0, max=1000), description="Which number, from 0")]
) -> int:
    """Return the Fibonacci number with this index (0, 1, 1, 2, 3 …), of up to 209 digits.

    The result is an exact JSON integer. Clients that read numbers as doubles see it rounded from index 79 on.
    """
    current, following = 0, 1
    for _ in range(payload):
        current, following = following, current + following
    return current
