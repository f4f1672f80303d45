"""The table of transitions, held against its documentation."""

import re
from pathlib import Path

from app.models import FINISHED, Status
from app.services.lifecycle.transitions import TRANSITIONS

PAGE = Path(__file__).parents[5] / "docs" / "reference" / "statuses.md"


def documented() -> dict[str, tuple[set[str], str, str]]:
    rows = re.findall(r"^\| ([a-z ]+) \| ([A-Z, ]+) \| ([A-Z]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: ({*sources.split(", ")}, target, when) for name, sources, target, when in rows}


def test_the_documentation_has_the_same_arrows_as_the_code():
    in_code = {name: ({*arrow.sources}, arrow.target, arrow.when) for name, arrow in TRANSITIONS.items()}

    assert documented() == in_code


def test_every_status_can_be_left_or_is_an_ending():
    left = {source for arrow in TRANSITIONS.values() for source in arrow.sources}

    assert set(Status) - left == {Status.COMPLETED}
    assert left & FINISHED == {Status.FAILED, Status.CANCELLED}


def test_only_claiming_leads_to_processing():
    assert [name for name, arrow in TRANSITIONS.items() if arrow.target == Status.PROCESSING] == ["claimed"]


def test_the_explanation_draws_exactly_these_arrows():
    drawing = Path("docs/explanation/lifecycle.md").read_text(encoding="utf-8").split("```")[1]
    lines = re.findall(r"^ +([A-Z]+) --> ([A-Z]+): (.+)$", drawing, re.MULTILINE)
    drawn = {(source, target, name) for source, target, names in lines for name in names.split(", ")}

    assert drawn == {
        (source.value, arrow.target.value, name) for name, arrow in TRANSITIONS.items() for source in arrow.sources
    }
