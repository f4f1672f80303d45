"""What can become of a request that does not succeed, as types; the texts never hold a credential."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from taskledger_sdk.http.retry_after import seconds_of


class RequestFailed(Exception):
    """A request could not be made, was not answered, or was refused. The text says what was wrong, and what to do."""


class NotConfigured(RequestFailed):
    """There is no usable address or credential to make a request with: it was not sent."""


class Unsendable(RequestFailed, ValueError):
    """What was given cannot be written as JSON, or into a header; nothing was sent. The text says what it is."""


class Unreachable(RequestFailed):
    """No answer came, or one that is not Taskledger's. Whether the request was carried out is not known.

    `may_pass`: whether the same request may succeed in a moment.
    """

    def __init__(self, text: str, *, may_pass: bool = True) -> None:
        self.may_pass = may_pass
        super().__init__(text)


class Refused(RequestFailed):
    """The service answered with a problem (RFC 9457).

    `status` is the HTTP status, `code` keeps its meaning over releases, `errors` holds messages at the path of each
    refused field, `retry_after` is in seconds, and `problem` is the whole answer.
    """

    def __init__(self, problem: Mapping[str, Any], status: int, *, retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code") or "")
        self.detail = str(problem.get("detail") or problem.get("title") or f"The service answered with {status}.")
        errors = problem.get("errors")
        self.errors: Mapping[str, Any] = errors if isinstance(errors, Mapping) else {}
        self.retry_after = retry_after
        super().__init__(self.detail)

    def field_errors(self) -> list[tuple[str, str]]:
        """The path of each refused field, such as `payload.language`, with what is wrong there."""
        return list(_flat(self.errors, ""))


class NotAuthenticated(Refused):
    """401: no credential, or one that is wrong, expired or revoked."""


class NotPermitted(Refused):
    """403: the credential does not reach that far."""


class NotFound(Refused):
    """404, 410: there is no such thing, it was deleted, or it is somebody else's."""


class Conflict(Refused):
    """409, 412: the thing is in a status that does not allow this, or has changed meanwhile."""


class Invalid(Refused):
    """Other statuses of 4xx, mostly 422: the request itself must be corrected."""


class TooManyRequests(Refused):
    """429: a rate limit, or a quota; `retry_after` may say for how long."""


class RateLimited(TooManyRequests):
    """`too_many_requests`: too many requests within a minute; the same one will do after `retry_after`."""


class QuotaReached(TooManyRequests):
    """`quota_reached`: too many tasks of the account wait already; there is room when some are done."""


class Unavailable(Refused):
    """5xx: the service cannot answer now."""


KINDS: dict[int, type[Refused]] = {
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    429: TooManyRequests,
}
KINDS_BY_CODE: dict[str, type[Refused]] = {"too_many_requests": RateLimited, "quota_reached": QuotaReached}


def failure_of(status: int, headers: Mapping[str, str], content: bytes, *, url: str) -> RequestFailed:
    """What an answer that is no success means. Pure.

    `headers` are looked up in lower case; `url` is the address of the service, for the text.
    """
    problem = as_object(content)
    if problem is not None and "status" in problem and ("detail" in problem or "code" in problem):
        return refusal_of(problem, status, retry_after=seconds_of(headers.get("retry-after")))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        place = headers.get("location", "elsewhere")
        said = f"{url} answered {status} and points to {place}: give the address that it points to."
        return Unreachable(said, may_pass=False)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(f"{url} answered {status}, as a proxy does while the service behind it is away: try again.")
    said = f"{url} answered {status} with something that is not Taskledger's: is the address right?"
    return Unreachable(said, may_pass=False)


def refusal_of(problem: Mapping[str, Any], status: int, *, retry_after: float | None = None) -> Refused:
    """A problem as the type of its code, or else of its status. Pure."""
    by_status = KINDS.get(status, Unavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Invalid)
    return KINDS_BY_CODE.get(str(problem.get("code")), by_status)(problem, status, retry_after=retry_after)


def copy_of(error: RequestFailed) -> RequestFailed:
    """Another one that says the same, for each of several callers who share what went wrong."""
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made


def as_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object that these bytes are; None when they are something else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _flat(errors: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(errors, Mapping):
        for name, below in errors.items():
            yield from _flat(below, f"{path}.{name}" if path else str(name))
    elif isinstance(errors, list):
        for each in errors:
            yield from _flat(each, path)
    else:
        yield path, str(errors)
