"""docs/explanation/schedules.md: its table of clock changes is true, and it names every policy."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.models import Misfire, Overlap, SlotState
from app.services.schedules.cron import ALIASES
from app.services.schedules.moments import next_moment
from tests.support.servers.databases import ROOT

PAGE = (ROOT / "docs" / "explanation" / "schedules.md").read_text()
ROWS = re.findall(r"^\| `(\w+/\w+)` \| `(.+?)` \| (\d{4}-\d\d-\d\d) \| (.+?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("zone", "cron", "day", "slots"), ROWS)
def test_the_slots_of_a_day_are_those_of_the_table(zone, cron, day, slots):
    tz, found = ZoneInfo(zone), []
    moment = datetime.fromisoformat(day).replace(tzinfo=tz).astimezone(UTC) - timedelta(hours=2)
    while (moment := next_moment(cron, zone, moment)).astimezone(tz).date().isoformat() <= day:
        local = moment.astimezone(tz)
        if local.date().isoformat() == day:
            found.append(local.isoformat(timespec="minutes").partition("T")[2])

    assert (", ".join(found) or "none") == slots


def test_the_table_has_rows():
    assert len(ROWS) == 10


@pytest.mark.parametrize("word", [*Misfire, *Overlap, *SlotState, *ALIASES])
def test_the_page_names_every_word(word):
    assert f"`{word}`" in PAGE
