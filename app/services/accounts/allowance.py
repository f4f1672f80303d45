"""What somebody who starts work may start: which task types, and how many tasks of whose account."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.services.accounts import rights as rights_by_type
from app.services.accounts.quotas import RoomOf, unlimited_of
from app.services.accounts.rights import Rights


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """The rights of all who must allow it (an account, its API key), and the room of accounts."""

    rights: tuple[Rights, ...] = ()
    room_of: RoomOf = unlimited_of

    def check_types(self, names: Iterable[str]) -> None:
        """Raises TypeNotAllowed unless all of these may be used."""
        rights_by_type.check_names(self.rights, names)

    def check_callback(self) -> None:
        """Raises TypeNotAllowed unless tasks may call somebody when they end."""
        rights_by_type.check_outside(self.rights)


ANYTHING = Allowance()
"""For what the service does by itself, and what nothing may stop, such as compensation."""
