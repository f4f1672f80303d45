"""reverse_string: a text, backwards."""

from typing import Annotated

from marshmallow.validate import Length

from taskledger_sdk import TaskContext, rule, task_type


@task_type("reverse_string", examples=("hello world",), chunk=200, max_seconds_each=0.05)
def reverse_string(
    _task: TaskContext, payload: Annotated[str, rule(Length(max=100_000), description="The text to reverse")]
) -> str:
    """Return the text with its Unicode code points in reverse order."""
    return payload[::-1]
