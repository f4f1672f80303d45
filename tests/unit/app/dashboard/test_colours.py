"""The dashboard's colours: text stands out from what is behind it, in both themes (WCAG 2.2, AA)."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[4] / "app/dashboard/static/dashboard.css"
ENOUGH, ENOUGH_FOR_SHAPES = 4.5, 3.0
TEXT = [
    ("text", "page"), ("text", "surface"), ("text", "sunken"), ("muted", "page"), ("muted", "surface"),
    ("muted", "sunken"), ("accent", "surface"), ("accent", "page"), ("accent", "accent-soft"), ("accent", "sunken"),
    ("on-accent", "accent-fill"), ("on-accent", "bad-fill"), ("bad", "surface"), ("bad", "bad-soft"),
    ("warn", "warn-soft"), ("warn", "surface"), ("good", "good-soft"), ("good", "surface"), ("info", "info-soft"),
    ("info", "surface"), ("violet", "violet-soft"), ("grey", "grey-soft"),
    *((text, f"{state}-soft") for text in ("text", "muted") for state in ("good", "bad", "info", "warn", "violet")),
]  # fmt: skip
SHAPES = [("series-1", "surface"), ("series-2", "surface"), ("series-bad", "surface"), ("series-warn", "surface"),
          ("line-strong", "surface")]  # fmt: skip


def palettes() -> dict[str, dict[str, str]]:
    css = CSS.read_text()
    light = css.split(":root {", 1)[1].split("}", 1)[0]
    system = css.split(':root:not([data-theme="light"]) {', 1)[1].split("}", 1)[0]
    chosen = css.split(':root[data-theme="dark"] {', 1)[1].split("}", 1)[0]
    found = {
        name: dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
        for name, block in (("light", light), ("dark", chosen), ("system's dark", system))
    }
    return {name: {**found["light"], **palette} for name, palette in found.items()}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", palettes())
def test_text_and_shapes_stand_out(theme):
    palette = palettes()[theme]
    weak = {
        f"{one} on {other}": round(contrast(palette[one], palette[other]), 2)
        for pairs, least in ((TEXT, ENOUGH), (SHAPES, ENOUGH_FOR_SHAPES))
        for one, other in pairs
        if contrast(palette[one], palette[other]) < least
    }

    assert weak == {}


def test_both_ways_to_the_dark_theme_have_the_same_colours():
    assert palettes()["dark"] == palettes()["system's dark"]
