"""The table of transitions of runs, in code and in the reference."""

import re
from pathlib import Path

from app.models import RUN_UNFINISHED, RunStatus
from app.services.workflows.transitions import TRANSITIONS

REFERENCE = Path("docs/reference/workflows.md")


def test_the_reference_draws_exactly_these_arrows():
    rows = re.findall(r"^\| ([a-z ]+) \| ([A-Z_, ]+) \| ([A-Z_]+) \| (.+) \|$", REFERENCE.read_text(), re.MULTILINE)

    documented = {name: (frozenset(sources.split(", ")), target, when) for name, sources, target, when in rows}

    assert documented == {
        name: (frozenset(arrow.sources), arrow.target.value, arrow.when) for name, arrow in TRANSITIONS.items()
    }


def test_every_status_can_be_reached_and_every_unfinished_one_left():
    assert {arrow.target for arrow in TRANSITIONS.values()} == set(RunStatus)
    assert {source for arrow in TRANSITIONS.values() for source in arrow.sources} >= RUN_UNFINISHED
