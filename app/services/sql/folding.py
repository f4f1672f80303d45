"""Looking for a text whatever its case, in every script, on every server.

ILIKE folds case as a collation says, and a database's own may know ASCII only (C, as `initdb --no-locale` makes it).
So the collation is named: the ones that PostgreSQL brings itself (17 and 18), or ICU's (14 to 16, where the server was
built with it, as packages are). Without any of them the database's own stands.
"""

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from app.database import Session

PREFERRED = ("pg_unicode_fast", "pg_c_utf8", "und-x-icu")

_PRESENT = sa.text("""
    SELECT collname
    FROM pg_collation
    WHERE collname = ANY(:names)
        AND collnamespace = 'pg_catalog'::regnamespace
        AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
    ORDER BY array_position(:names, collname::text)
""")
_found: WeakKeyDictionary[sa.Engine, str | None] = WeakKeyDictionary()


def holds(session: Session, text: str, places: Iterable[sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Whether one of the places holds the text, whatever the case of either."""
    collation = _collation(session)
    folded = [place if collation is None else sa.collate(place, collation) for place in places]
    return sa.or_(*(place.icontains(text, autoescape=True) for place in folded))


def _collation(session: Session) -> str | None:
    """The one to fold with; looked for once in each database that this process uses."""
    engine = session.connection().engine
    if engine not in _found:
        _found[engine] = session.connection().scalar(_PRESENT, {"names": list(PREFERRED)})
    return _found[engine]
