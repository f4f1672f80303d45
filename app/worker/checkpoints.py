"""The checkpoints of one attempt: each is written at once or within a second, the last one with the outcome."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from app.database import Session, Unreadable, in_transaction, to_json
from app.services.encryption import ciphertexts
from app.services.lifecycle import Claim
from app.services.tasks import checkpoints
from app.worker.outages import CLAIM_SECONDS, is_passing, retry_while_unavailable
from app.worker.payload_keys import payload_keys
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.results import storable_checkpoint

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0  # between two writes


class Pending:
    """What was kept and is not written yet; shared by the handler's threads and the heartbeat."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held while it is written, so that no older value comes to lie over a newer one."""
        self.text: str | None = None
        self.was_kept = False
        """Whether this attempt has kept anything."""
        self._written_at: float | None = None

    def keep(self, text: str) -> None:
        """Replace what is not written yet."""
        self.was_kept = True
        self.text = text

    def is_due(self) -> bool:
        """Whether there is something to write, and the last time was long enough ago."""
        if self.text is None:
            return False
        return self._written_at is None or time.monotonic() - self._written_at >= PAUSE_SECONDS

    def note_written(self, text: str) -> None:
        """Remember that this text is in the ledger; a newer one may have come meanwhile."""
        self._written_at = time.monotonic()
        if self.text is text:
            self.text = None


class AttemptCheckpoints:
    """What the attempt's handler sees of them."""

    def __init__(self, claim: Claim, pending: Pending, *, is_sensitive: bool) -> None:
        self._claim = claim
        self._pending = pending
        self._is_sensitive = is_sensitive
        self._is_known = False
        self._last: Any = None

    @property
    def exist(self) -> bool:
        """Whether the ledger may have one, as far as this attempt knows."""
        return self._pending.was_kept or self._last is not None

    @property
    def last(self) -> Any:
        """The newest one, of this attempt or an earlier one; asked for once. None where there is none."""
        if not self._is_known:
            task_id = self._claim.id
            found = retry_while_unavailable(
                lambda: in_transaction(lambda session: checkpoints.read(session, task_id)), seconds=CLAIM_SECONDS
            )
            self._last = None if found is None else self._opened(found.value)
            self._is_known = True
        return self._last

    def keep(self, value: Any) -> bool:
        """Keep a value; while the database is away, the heartbeat tries again. False: the lease is known to be lost.

        Raises PermanentError for a value that cannot be kept.
        """
        text = to_json(storable_checkpoint(value))
        self._last, self._is_known = json.loads(text), True
        if self._is_sensitive:
            keys = payload_keys()
            text = to_json(ciphertexts.encrypted(self._last, self._claim.id, "checkpoint", keys=keys))
        self._pending.keep(text)
        return self._write() if self._pending.is_due() else True

    def forget(self, session: Session, _now: datetime) -> Mapping[str, Any]:
        """The task is COMPLETED, so that nobody begins with it any more; in the outcome's transaction."""
        checkpoints.forget(session, [self._claim.id])
        return {}

    def _write(self) -> bool:
        with self._pending.lock:
            text = self._pending.text
            if text is None:  # the heartbeat was quicker
                return True
            kept = [(self._claim, text)]
            try:
                written = in_transaction(lambda session: checkpoints.write(session, kept, waits=True))
            except sa.exc.SQLAlchemyError as error:
                if not is_passing(error):
                    raise
                log.warning("checkpoint_waits", task_id=str(self._claim.id), error=type(error).__name__)
                return True
            if written:
                self._pending.note_written(text)
            return bool(written)

    def _opened(self, value: Any) -> Any:
        if isinstance(value, Unreadable):
            raise PermanentError(f"its checkpoint cannot be read: {value['$unreadable']}")
        if not self._is_sensitive:
            return value
        return ciphertexts.decrypted(value, self._claim.id, "checkpoint", keys=payload_keys())
