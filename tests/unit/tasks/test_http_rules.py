"""What a server asks for with Retry-After, in tables; and webhooks give up when the documents say so."""

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from taskledger_sdk.registry import get_type
from tasks.http_rules import asked_to_wait

DAY = 86_400
ROOT = Path(__file__).parents[3]
HISTORY = ROOT / "docs/changelog.md"
SERVERS_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("0000000000120", 120),
        ("99999999999999999999", DAY),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("120, 60", None),
        ("١٢", None),
        ("", None),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sun, 22 Nov 2026 12:01:30", 90),
        ("Sun, 22 Nov 2026 12:01:30 -0000", 90),
        ("Sunday, 22-Nov-26 12:01:30 GMT", 90),
        ("Sun Nov 22 12:01:30 2026", 90),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("Sun, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(text, seconds, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        asked = asked_to_wait({"retry-after": text, "Date": format_datetime(SERVERS_NOON, usegmt=True)})
    finally:
        monkeypatch.undo()
        time.tzset()

    assert asked == seconds


def test_the_documents_say_when_a_webhook_gives_up():
    kind = get_type("webhook_delivery")
    least, most = (round(pauses / timedelta(hours=1)) for pauses in kind.retry.pauses())
    said = f"{kind.retry.max_retries + 1} attempts in {least} to {most} hours"

    assert said in (ROOT / "docs/reference/webhooks.md").read_text(encoding="utf-8")
    assert said in " ".join(kind.handler.__doc__.split())


def test_no_document_says_another_time():
    pages = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", *ROOT.glob("tasks/**/*.py"), *ROOT.glob("app/**/*.py")]
    found = (re.findall(r"\d+ attempts\s+in\s+([\w ]+)", page.read_text("utf-8")) for page in pages if page != HISTORY)

    assert {time for times in found for time in times} == {"48 to 96 hours"}
