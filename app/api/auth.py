"""Who is calling."""

from uuid import UUID


def current_owner_id() -> UUID | None:
    """The account of the request; None: the system."""
    return None


def visible_owner() -> UUID | None:
    """Whose things the caller sees: their own; None sees everybody's."""
    return None
