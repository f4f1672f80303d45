"""What a browser sends for the forms of a page that nobody touches, after the HTML standard.

Parsing: line ends become LF, the first one in a textarea is dropped, attribute values are unescaped. Inputs: texts of
one line lose newlines, numbers, dates and moments that are none are empty. Sending: line ends become CR LF.
"""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
MOMENT = re.compile(r"\d{4,}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?")
WITHOUT_A_VALUE = frozenset({"checkbox", "radio"})


@dataclass
class Form:
    """One form of a page: where it goes, and its entries as they are sent, in order."""

    action: str | None
    entries: list[tuple[str, str]] = field(default_factory=list)

    def sent(self, /, **changed: str) -> dict[str, list[str]]:
        """The entries by name, as a test client takes them, some of them changed."""
        found: dict[str, list[str]] = {}
        for name, value in self.entries:
            found.setdefault(name, []).append(changed.get(name, value))
        return {name: [_crlf(value) for value in values] for name, values in found.items()}


def forms(html: str) -> list[Form]:
    """The forms of a page."""
    parser = _Parser(convert_charrefs=True)
    parser.feed(html.replace("\r\n", "\n").replace("\r", "\n"))
    parser.close()
    return parser.forms


def form_with(html: str, name: str) -> Form:
    """The form of a page that has a field of this name."""
    return next(form for form in forms(html) if any(name == each for each, _ in form.entries))


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def sanitised(kind: str, value: str) -> str:
    """The value that an input of this type has when its attribute says `value`."""
    if kind == "hidden":
        return value
    if kind == "number":
        return value if NUMBER.fullmatch(value) and math.isfinite(float(value)) else ""
    if kind == "date":
        return value if re.fullmatch(r"\d{4,}-\d\d-\d\d", value) else ""
    if kind == "datetime-local":
        return _moment(value)
    value = value.replace("\r", "").replace("\n", "")
    return value.strip("\t\f ") if kind in ("url", "email") else value


def _moment(value: str) -> str:
    if not MOMENT.fullmatch(value):
        return ""
    moment = datetime.fromisoformat(value)
    text = f"{moment:%H:%M}"
    if moment.second or moment.microsecond:
        text += f"{moment:%S}".rjust(3, ":")
    if moment.microsecond:
        text += f".{moment.microsecond // 1000:03}"
    return f"{value[:10]}T{text}"


class _Parser(HTMLParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._area: tuple[str, list[str]] | None = None
        self._select: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(action=said.get("action"))
            self.forms.append(self._form)
        elif self._form is None or "disabled" in said:
            return
        elif tag == "input" and said.get("name"):
            self._input(said)
        elif tag == "textarea":
            self._area = (said["name"], [])
        elif tag == "select":
            self._select = {"name": said["name"], "multiple": "multiple" in said, "options": []}
        elif tag == "option" and self._select is not None:
            self._select["options"].append([said.get("value"), "selected" in said, ""])

    def _input(self, said: dict[str, str]) -> None:
        kind = said.get("type", "text").lower()
        if kind in WITHOUT_A_VALUE and "checked" not in said:
            return
        value = said.get("value", "on" if kind in WITHOUT_A_VALUE else "")
        assert self._form is not None
        self._form.entries.append((said["name"], value if kind in WITHOUT_A_VALUE else sanitised(kind, value)))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)
        elif self._select is not None and self._select["options"]:
            self._select["options"][-1][2] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea" and self._area is not None and self._form is not None:
            name, parts = self._area
            self._form.entries.append((name, "".join(parts).removeprefix("\n")))
            self._area = None
        elif tag == "select" and self._select is not None and self._form is not None:
            self._form.entries += self._chosen(self._select)
            self._select = None

    def _chosen(self, select: dict[str, Any]) -> list[tuple[str, str]]:
        options = [
            (" ".join(text.split()) if value is None else value, chosen) for value, chosen, text in select["options"]
        ]
        chosen = [value for value, is_chosen in options if is_chosen]
        if select["multiple"]:
            return [(select["name"], value) for value in chosen]
        return [(select["name"], (chosen or [value for value, _ in options])[-1 if chosen else 0])] if options else []
