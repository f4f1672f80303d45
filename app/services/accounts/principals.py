"""Who is calling: an account, and what its credential may be used for."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.models import Role, Scope
from app.services.accounts.rights import Rights

EVERY_SCOPE = frozenset(Scope)
USER_SCOPES = frozenset({Scope.READ, Scope.WRITE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """An account that has proved who it is, with an access token or with an API key."""

    user_id: UUID
    role: str
    scopes: frozenset[str]
    key_id: UUID | None = None
    family: UUID | None = None  # the log-in behind an access token
    expires_at: datetime | None = None
    max_waiting_tasks: int | None = None
    rights: tuple[Rights, ...] = ()  # of the account, and of the key where it is limited

    @property
    def is_admin(self) -> bool:
        """Whether it acts as an admin: the account is one, and its credential may be used for that."""
        return self.role == Role.ADMIN and Scope.ADMIN in self.scopes

    @property
    def is_person(self) -> bool:
        """Whether it manages its own account: somebody who logged in, or an admin's key."""
        return self.key_id is None or self.is_admin

    @property
    def sees(self) -> UUID | None:
        """The owner whose things it sees; None is everybody's."""
        return None if self.is_admin else self.user_id

    def may(self, scope: str) -> bool:
        """Whether the credential may be used for this."""
        return scope in self.scopes or self.is_admin


def scopes_of_login(role: str) -> frozenset[str]:
    """What a person may do who has logged in."""
    return frozenset(EVERY_SCOPE if role == Role.ADMIN else USER_SCOPES)
