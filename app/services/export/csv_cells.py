"""Cells of CSV files that spreadsheets show and never run. Pure."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from app.clock import rfc_3339

FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Cells that begin so are formulas to one spreadsheet or another (OWASP: CSV injection)."""


def cell(value: Any) -> str:
    """The text of a value: numbers and moments as they are, JSON for structures, words made harmless."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value.isidentifier() else harmless(value)  # a word is harmless, and most are words
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return rfc_3339(value)
    if isinstance(value, UUID):
        return str(value)
    return harmless(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe before what begins like one; no NUL."""
    # A lone CR ends a line to some readers, quoted or not.
    text = text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_BEGINNINGS) else text
