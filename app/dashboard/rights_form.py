"""Lists of task types and queues in a form: names, separated by commas or blanks; nothing means all of them."""

import re
from collections.abc import Mapping
from typing import Any

LISTS = ("allowed_types", "allowed_queues")
NONE = "-"
"""What stands for no type at all, because blank means all."""


def lists(form: Mapping[str, str]) -> dict[str, list[str] | None]:
    """The lists that the form holds, as the API takes them; what it does not hold is left out."""
    return {name: _names(form[name]) for name in LISTS if name in form}


def _names(text: str) -> list[str] | None:
    names = [each for each in re.split(r"[,\s]+", text.replace("\0", "")) if each]
    if names == [NONE]:
        return []
    return list(dict.fromkeys(names)) or None


def shown(names: Any) -> str:
    """A list as the form shows it."""
    if names is None:
        return ""
    return ", ".join(names) or NONE
