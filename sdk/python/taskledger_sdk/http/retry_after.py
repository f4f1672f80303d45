"""The header Retry-After: seconds, or a moment."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_of(text: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 or more; None when the header is missing or says nothing that can be read. Pure with `now`."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # -0000: a moment of UTC whose sender has no zone
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
