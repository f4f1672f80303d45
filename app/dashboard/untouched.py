"""How a form leaves alone what nobody touched: it carries what it showed, and what comes back as it was shown stays.

An input holds less than a value: a browser changes line ends, cuts newlines and drops what it cannot show. So a value
is never read back from an input that was not touched. Pure.
"""

import base64
import binascii
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FIELD = "shown"
"""The hidden input that carries, packed, what a form showed."""
MISSING: Any = object()
"""Left out: what is missing is not sent, so that the type's default applies."""
LARGEST_UNPACKED = 16 * 1024 * 1024  # bytes; what is packed may have been made by anybody
NUMBERS, MOMENT, DATE = ("whole", "number"), "datetime", "date"
SEVERAL_LINES = ("long_text", "json")
MAX_NUMBER = 20  # digits; no number that is typed into a field of ours needs more
HTML_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Kept:
    """Stands in a shown value for one that is hidden: what is shown of it, and where in the original it is."""

    text: str
    path: tuple[str | int, ...]

    def __str__(self) -> str:
        return self.text


def is_untouched(kind: str, sent: str, shown: str) -> bool:
    """Whether an input that showed a text sends this when nobody touches it. `kind`: as in schema_form, or datetime."""
    if _as_sent(kind, sent) == _as_sent(kind, shown):
        return True
    return sent == "" and not _can_be_shown(kind, shown)


def _as_sent(kind: str, text: str) -> str:
    """A text as every browser agrees to send it: line ends alike, and none where an input has one line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind in SEVERAL_LINES:
        return text
    text = text if kind == "choice" else text.replace("\n", "")
    if kind == MOMENT and (moment := _moment(text)) is not None:
        return moment.isoformat()
    return text


def _can_be_shown(kind: str, text: str) -> bool:
    if kind in NUMBERS:
        return bool(HTML_NUMBER.fullmatch(text)) and math.isfinite(float(text))
    if kind == DATE:
        return bool(re.fullmatch(r"[0-9]{4,}-[0-9]{2}-[0-9]{2}", text))
    return _moment(text) is not None if kind == MOMENT else True


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def moment_shown(moment: datetime | None) -> str:
    """A moment for <input type=datetime-local>, in UTC, to the millisecond, as short as browsers write it."""
    if moment is None:
        return ""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return text.removesuffix(".000").removesuffix(":00") if text.endswith(".000") else text


def moment_typed(text: str) -> str:
    """What was chosen in <input type=datetime-local>, as a moment in UTC; what is none stays as it is."""
    if _moment(text) is None or not re.fullmatch(r"[0-9-]+T[0-9:.]+", text):
        return text
    return f"{text}:00Z" if text.count(":") == 1 else f"{text}Z"


def whole_typed(text: str) -> int | str | None:
    """A whole number that was typed; None for nothing, and what is none stays the text, for its field to refuse."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < MAX_NUMBER else text or None


def touched(sent: Mapping[str, str], shown: Mapping[str, str], kinds: Mapping[str, str]) -> set[str]:
    """The inputs that somebody changed; one that was not sent at all was not in the form. `kinds`: by name."""
    return {
        name
        for name, kind in kinds.items()
        if name in sent and not is_untouched(kind, sent.get(name, ""), shown.get(name, ""))
    }


def pack(value: Any) -> str:
    """JSON values, MISSING and Kept as a text that no browser changes."""
    text = json.dumps(_encoded(value), ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()


def unpack(text: str) -> Any:
    """What was packed; MISSING where it is nothing of ours."""
    try:
        opened = zlib.decompressobj()
        plain = opened.decompress(base64.urlsafe_b64decode(text), LARGEST_UNPACKED)
        return _decoded(json.loads(plain)) if opened.eof else MISSING
    except (ValueError, binascii.Error, zlib.error, RecursionError, TypeError, AttributeError):
        return MISSING


def _encoded(value: Any) -> Any:
    """Lists are themselves; anything else that JSON does not have, and objects, are one-key objects."""
    if value is MISSING:
        return {"missing": 0}
    if isinstance(value, Kept):
        return {"kept": [value.text, *value.path]}
    if isinstance(value, Mapping):
        return {"object": {key: _encoded(below) for key, below in value.items()}}
    if isinstance(value, list | tuple):
        return [_encoded(below) for below in value]
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(below) for below in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "kept":
        text, *path = held
        return Kept(text=str(text), path=tuple(each if isinstance(each, int) else str(each) for each in path))
    return {key: _decoded(below) for key, below in held.items()} if kind == "object" else MISSING


def kept_again(typed: Any, shown: Any) -> Any:
    """A value that was typed as JSON, with Kept where it still says what is shown of a hidden value at that place."""
    if isinstance(shown, Kept):
        return shown if typed == shown.text else typed
    if isinstance(typed, dict) and isinstance(shown, Mapping):
        return {key: kept_again(value, shown[key]) if key in shown else value for key, value in typed.items()}
    if isinstance(typed, list) and isinstance(shown, list) and len(typed) == len(shown):
        return [kept_again(*each) for each in zip(typed, shown, strict=True)]
    return typed
