"""Rows of a cursor. A query without columns has none to show, so that a test which waits for them would not wait."""

from typing import Any

QUERIES = (b"SELECT", b"WITH")


def fetched(cursor: Any) -> list[Any]:
    """All rows as the cursor makes them; none for a statement that returns nothing."""
    if cursor.description is not None:
        return list(cursor.fetchall())
    is_query = (cursor.statusmessage or "").startswith("SELECT") and cursor.query.lstrip().upper().startswith(QUERIES)
    assert not is_query, f"select a column to see rows: {cursor.query!r}"
    return []
