"""What goes wrong, in words and as an exit status."""

from typing import Self

import click

from taskledger_sdk.cli.text import printable
from taskledger_sdk.http.errors import (
    NotAuthenticated,
    NotConfigured,
    NotPermitted,
    Refused,
    RequestFailed,
    Unavailable,
    Unreachable,
    Unsendable,
)

REFUSED, USAGE, UNREACHABLE, NOT_PERMITTED, NOT_COMPLETED, TIMED_OUT = 1, 2, 3, 4, 5, 124
STATUSES: tuple[tuple[type[RequestFailed], int], ...] = (
    (NotConfigured, USAGE),
    (Unsendable, USAGE),
    (Unreachable, UNREACHABLE),
    (Unavailable, UNREACHABLE),
    (NotAuthenticated, NOT_PERMITTED),
    (NotPermitted, NOT_PERMITTED),
    (RequestFailed, REFUSED),
)
MOST_FIELDS = 20
ADVICE = {
    "unauthenticated": "Log in with `tledger login`, or correct TASKLEDGER_API_KEY.",
    "forbidden": "`tledger whoami` shows what your key may be used for. `tledger login --admin` makes an admin's key, "
    "and `tledger keys` takes --email.",
    "type_not_allowed": "Ask an admin, or use another key.",
    "unknown_task_type": "`tledger types list` shows those that there are.",
    "payload_refused": "`tledger types show TYPE` shows what the payload must look like.",
    "input_refused": "`tledger workflows show NAME` shows what the input must look like.",
    "wrong_status": "Look at it again, then decide: `tledger why ID`.",
    "repair_under_way": "`tledger repairs list` shows it; `tledger repairs watch ID` follows it.",
    "too_many_requests": "Wait, then go on.",
    "quota_reached": "Wait until some are done, or ask an admin for a larger quota.",
    "internal_error": "The log of the service has it; report it.",
}


class Failed(click.ClickException):
    """Shown as click shows errors, with an exit status that says who is at fault."""

    def __init__(self, error: RequestFailed | str, *, exit_status: int = REFUSED) -> None:
        if isinstance(error, RequestFailed):
            exit_status = status_of(error)
            error = explained(error)
        super().__init__(printable(error))
        self.exit_code = exit_status  # type: ignore[misc]  # click reads it from the instance

    @classmethod
    def not_logged_in(cls, url: str) -> Self:
        """There is no key to send."""
        said = f"You are not logged in to {url}: run `tledger login --url {url}`, or set TASKLEDGER_API_KEY."
        return cls(said, exit_status=NOT_PERMITTED)


def status_of(error: RequestFailed) -> int:
    """The exit status of a failure."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def explained(error: RequestFailed) -> str:
    """A failure in words: what was wrong, each refused field that this does not name, and what to do."""
    lines = [printable(str(error))]
    if isinstance(error, Refused):
        said = lines[0].casefold()
        fields = [each for each in error.field_errors() if each[1].rstrip(".").casefold() not in said]
        lines += [printable(f"  {path}: {message}") for path, message in fields[:MOST_FIELDS]]
        if len(fields) > MOST_FIELDS:
            lines.append(f"  … and {len(fields) - MOST_FIELDS} more")
        if error.code in ADVICE:
            lines.append(ADVICE[error.code])
    return "\n".join(lines)
