"""What steps of durable tasks hold, in the clear: of sensitive types their rows have it encrypted."""

from typing import Any
from uuid import UUID

from app.database import Unreadable
from app.services.encryption import ciphertexts
from app.worker.payload_keys import payload_keys
from taskledger_sdk.errors import PermanentError

STEP = "step"
"""What encrypted values of a step are bound to, beside its task."""


def decrypted(value: Any, of: UUID, what: str) -> Any:
    """A value as its row has it, in the clear; `of` and `what` are what it is bound to.

    Raises PermanentError for what PostgreSQL holds and Python cannot read, or CannotDecrypt.
    """
    if isinstance(value, Unreadable):
        raise PermanentError(f"a step cannot be read: {value['$unreadable']}")
    return ciphertexts.decrypted(value, of, what, keys=payload_keys())
