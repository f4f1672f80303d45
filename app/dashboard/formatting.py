"""How values look on pages: moments, durations, numbers, JSON; and what every template may use."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Flask, g, request

from app.clock import utcnow
from app.config import words
from app.config.production import split_url
from app.dashboard import csrf, rights_form
from app.models import Status
from app.web.current_settings import current_settings

MINUTE, HOUR, DAY = 60, 3600, 86_400
MAX_SHOWN = 20_000  # characters of one value on a page; the API has the rest
STEPS = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s"))
THEMES = ("light", "dark")
HREF_SCHEMES = ("http", "https")


def duration(seconds: float | timedelta | None) -> str:
    """850 ms, 12.3 s, 4 min 10 s, 2 h 5 min, 3 d 4 h: two units at most."""
    if seconds is None:
        return "–"
    number = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    number = max(number, 0.0)
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < MINUTE:
        return f"{number:.1f} s" if number < 10 else f"{number:.0f} s"
    size, unit, smaller, small_unit = next(step for step in STEPS if number >= step[0])
    whole, rest = divmod(int(number), size)
    return f"{whole} {unit} {rest // smaller} {small_unit}" if rest // smaller else f"{whole} {unit}"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """In one unit, of the past or of the future: just now, 3 min ago, in 2 h."""
    if moment is None:
        return "–"
    seconds = ((now or utcnow()) - moment).total_seconds()
    distance = abs(seconds)
    if distance < 2:
        return "just now"
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
    size, unit = next(each for each in units if distance >= each[0])
    told = f"{int(distance // size)} {unit}"
    return f"{told} ago" if seconds > 0 else f"in {told}"


def absolute(moment: datetime | None) -> str:
    """2026-11-22 07:05:12 UTC."""
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def clock(seconds: int) -> str:
    """07:05:12, of seconds since 1970, in UTC."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%H:%M:%S}"


def pretty(value: Any) -> str:
    """JSON for people; what is very long is cut."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "\n…"


def is_cut(value: Any) -> bool:
    """Whether `pretty` leaves something out."""
    return len(json.dumps(value, indent=2, ensure_ascii=False)) > MAX_SHOWN


def brief(value: Any, longest: int = 80) -> str:
    """JSON on one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def number(value: float | None) -> str:
    """12,345."""
    return "–" if value is None else f"{value:,.0f}"


def file_size(count: float | None) -> str:
    """12.3 MB."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def short_id(id_: object) -> str:
    """The end of a UUIDv7: its beginning is the time, alike for all of a minute."""
    return f"…{str(id_)[-8:]}"


def with_query(**changes: Any) -> str:
    """The address of this page with other parameters; None takes one away."""
    pairs = [(name, value) for name, value in request.args.items(multi=True) if name not in changes]
    for name, value in changes.items():
        values = value if isinstance(value, list | tuple) else [] if value is None else [value]
        pairs += [(name, str(each)) for each in values]
    return f"{request.path}?{urlencode(pairs)}" if pairs else request.path


def theme() -> str | None:
    """What the visitor chose; None: as the system says."""
    chosen = request.cookies.get("__Host-theme" if request.is_secure else "theme")
    return chosen if chosen in THEMES else None


def outside_links() -> list[tuple[str, str]]:
    """Name and address of what else the installation has, as DASHBOARD_LINKS says."""
    links = []
    for word in words(current_settings().dashboard_links):
        name, _, url = word.partition("=")
        if split_url(url.strip()).scheme in HREF_SCHEMES:
            links.append((name.strip(), url.strip()))
    return links


def register(app: Flask) -> None:
    """Give templates their filters and functions."""
    for each in (duration, ago, absolute, clock, pretty, brief, number, file_size, short_id):
        app.add_template_filter(each)
    app.add_template_global(is_cut)
    app.add_template_global(rights_form.shown, "names_shown")

    @app.context_processor
    def _common() -> dict[str, Any]:
        principal = g.get("principal")
        return {
            "csrf_token": csrf.token,
            "me": principal,
            "is_admin": principal is not None and principal.is_admin,
            "theme": theme(),
            "outside_links": outside_links,
            "with_query": with_query,
            "statuses": list(Status),
            "now": utcnow(),
        }
