"""Ids of rows: UUIDv7, so that the order of ids is the order of creation and an index grows at its end."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUIDv7."""
    return uuid7()
