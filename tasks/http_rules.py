"""Rules of HTTP: what a URL and a header may look like in a payload, and which answers ask for another attempt."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from taskledger_sdk.errors import AskedToWait, PermanentError
from tasks.outbound import Answer, NoAnswer

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL}){{0,30}}\.?"
_PORT = r"(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_IPV6 = r"\[[0-9A-Fa-f:.]{2,45}\]"
HTTP_URL = rf"^[Hh][Tt][Tt][Pp][Ss]?://(?:{_NAME}|{_IPV6})(?::{_PORT})?(?:[/?#][^\u0000-\u0020\u007f-\u00a0\\]*)?$"
HEADER_NAME = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$"
HEADER_VALUE = r"^(?:[!-~](?:[\t -~]{0,7998}[!-~])?)?$"  # visible ASCII; no space at either end

MAX_RETRY_AFTER_SECONDS = 24 * 3600
TOO_MANY_REQUESTS, SERVER_ERRORS = 429, range(500, 600)


def require_status(answer: Answer, expected: Collection[int] = (), *, sender: str = "") -> None:
    """Accept an answer whose status is expected, by default 200 to 299.

    Raises AskedToWait when the server says how long to wait, NoAnswer for other overload and server errors, and
    PermanentError for the rest; `sender` begins the message.
    """
    if answer.status in expected if expected else 200 <= answer.status < 300:
        return
    wanted = ", ".join(map(str, expected)) or "200 to 299"
    message = f"{sender or 'the server'} answered {answer.status}; expected {wanted}"
    if answer.status != TOO_MANY_REQUESTS and answer.status not in SERVER_ERRORS:
        raise PermanentError(message)
    seconds = asked_to_wait(answer.headers)
    raise NoAnswer(message) if seconds is None else AskedToWait(seconds, message)


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that the server asks for in Retry-After, a day at most; None if it does not ask in a known form.

    A date in the past is 0. It is for AskedToWait, which shortens no pause.
    """
    said = {name.lower(): value.strip() for name, value in headers.items()}
    text = said.get("retry-after", "")
    if text.isascii() and text.isdigit():
        seconds = float(text.lstrip("0")[:9] or 0)
    else:
        moment, now = _seconds_of(text), _seconds_of(said.get("date", ""))
        if moment is None:
            return None
        # By the server's own clock where it shows it, as ours may differ.
        seconds = moment - (time.time() if now is None else now)
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _seconds_of(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
        # HTTP dates are in GMT (RFC 9110, 5.6.7), also where they do not say so; without it Python takes local time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
