"""uppercase_text: a text in capitals."""

from typing import Annotated

from marshmallow.validate import Length

from taskledger_sdk import TaskContext, rule, task_type


@task_type("uppercase_text", examples=("hello world",), chunk=200, max_seconds_each=0.05)
def uppercase_text(
    _task: TaskContext, payload: Annotated[str, rule(Length(max=100_000), description="The text to capitalise")]
) -> str:
    """Return the text in upper case, by Unicode's full mapping.

    The result can be longer than the text: "straße" becomes "STRASSE".
    """
    return payload.upper()
