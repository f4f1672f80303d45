"""Ids that callers choose: a submission that is sent again, with the same id and the same body, leads to the first one.

No table remembers them: the id is that of the task, and the row keeps a digest of what was said. So an id is good for
as long as its task is there.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from app.database import Session, array
from app.errors import Refused
from app.models import Task, TaskRecord
from app.models.task import RECORD_COLUMNS

MAX_AWAY = timedelta(days=1)
VERSION = 7
DIGEST_BYTES = 16

_MAX_AWAY_MS = MAX_AWAY // timedelta(milliseconds=1)
_TASKS = Task.metadata.tables["tasks"]
_READ = sa.select(*RECORD_COLUMNS, _TASKS.c.submission_digest).where(
    _TASKS.c.id == sa.any_(sa.cast(sa.bindparam("ids", type_=sa.Text), sa.ARRAY(sa.Uuid)))
)
# The gate of a task that a limit or an ordering key concerns gives it a place before it is known that its id is taken.
# It looks first; but of two at the same moment neither sees the other.
_GIVE_PLACES_BACK = sa.text("""
    DELETE FROM admissions AS place
    WHERE task_id = ANY(CAST(:ids AS uuid[])) AND state <> 'blocking'
        AND NOT EXISTS (SELECT FROM tasks WHERE id = place.task_id AND gated AND finished_at IS NULL)
""")
_encoded = msgspec.json.Encoder(order="sorted").encode


class ChosenId(NamedTuple):
    """An id that a caller chose, and the digest of the body that it was sent with, in hexadecimal."""

    id: UUID
    digest: str
    older: tuple[str, ...] = ()
    """What the digest of the same body was under secrets that are on their way out."""

    def is_of(self, digest: bytes | None) -> bool:
        """Whether a task with this id was made by the same body; None: its caller did not choose its id."""
        return digest is not None and (bytes(digest).hex() == self.digest or bytes(digest).hex() in self.older)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The task that has an id."""

    task: TaskRecord
    digest: bytes | None


def chosen(id_: UUID, said: Mapping[str, Any], *, secrets: Sequence[str] = ()) -> ChosenId:
    """An id with what was said: the body as it was parsed. `secrets` are given where the body is nobody's to know."""
    if not secrets:
        return ChosenId(id_, digest_of(said))
    newest, *others = secrets
    return ChosenId(id_, digest_of(said, newest), tuple(digest_of(said, secret) for secret in others))


def digest_of(said: Mapping[str, Any], secret: str = "") -> str:
    """Equal for bodies that are the same JSON; with a secret, nobody else can try out what a body may have said."""
    text = _encoded(said)
    if secret:
        text = hmac.digest(secret.encode(), b"taskledger submission " + text, "sha256")
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def check(id_: UUID, *, now: datetime) -> None:
    """Raises Refused for an id that does not say when it was made: retention and lists read ids as time."""
    if id_.int >> 76 & 0xF != VERSION or id_.int >> 62 & 0b11 != 0b10:
        raise Refused({"id": ["must be a UUID of version 7, whose first 48 bits are the milliseconds of now"]})
    away = (id_.int >> 80) - int(now.timestamp() * 1_000)
    if abs(away) > _MAX_AWAY_MS:
        hours = abs(away) // 3_600_000
        raise Refused(
            {"id": [f"says a moment {hours} hours in the {'future' if away > 0 else 'past'}; at most 24 are accepted"]}
        )


def taken(what: str = "task") -> Refused:
    """The refusal of an id that is not this submission's; it tells nothing of the task, or run, that has it."""
    message = f"is the id of another {what}, or was sent with another body; choose a new id for a new {what}"
    return Refused({"id": [message]}, code="id_taken")


def holders(session: Session, ids: Iterable[UUID]) -> dict[UUID, Holder]:
    """The tasks that have these ids, whoever they belong to."""
    rows: Any = session.connection().execute(_READ, {"ids": array(set(ids))}).mappings()
    return {row["id"]: Holder(task=TaskRecord.of(row), digest=row["submission_digest"]) for row in rows}


def first_of(chosen: ChosenId, holder: Holder, *, owner_id: UUID | None) -> TaskRecord | Refused:
    """The task that an earlier submission of the same made, or why this is not the same. Pure."""
    if holder.task.owner_id == owner_id and chosen.is_of(holder.digest):
        return holder.task
    return taken()


def give_places_back(session: Session, ids: Iterable[UUID]) -> None:
    """Take back what a submission got whose id was taken in the same moment."""
    session.connection().execute(_GIVE_PLACES_BACK, {"ids": array(ids)})
