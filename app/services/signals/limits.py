"""What a signal may be like: its name, the size of its data, and how many may lie untaken. Pure."""

import re
from typing import Any

from app.database import to_json
from app.errors import ProblemError, Refused

MAX_NAME = 100
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:-]{{0,{MAX_NAME - 1}}}")
"""As it stands in paths; `wait_for` takes the same."""
MAX_BYTES = 64 * 1024
MAX_UNTAKEN = 100


class TooManySignals(ProblemError):
    """As many signals as may lie untaken for one task or run are there: who sends on is not heard."""

    status, code = 409, "too_many_signals"


def check_name(name: str) -> None:
    """Raises Refused for what no wait can be called."""
    if not NAME.fullmatch(name):
        message = f"must have 1 to {MAX_NAME} of A-Z, a-z, 0-9, _ . : - and begin with a letter or digit"
        raise Refused({"name": [message]})


def check_data(data: Any) -> str:
    """The data as JSON text. Raises Refused for more bytes than are taken."""
    text = to_json(data)
    size = len(text.encode())
    if size > MAX_BYTES:
        message = f"has {size} bytes as JSON; at most {MAX_BYTES} are accepted: send the id of an artifact"
        raise Refused({"data": [message]}, code="signal_too_large")
    return text


def too_many(what: str) -> TooManySignals:
    """The refusal of one more; `what` is the task or the run, with its id."""
    return TooManySignals(
        f"There are {MAX_UNTAKEN} signals of the {what} that nothing has taken; one that waits for them comes first."
    )
