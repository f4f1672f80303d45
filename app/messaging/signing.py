"""Signed hints, where SIGN_HINTS asks for them: who can write to the broker cannot make a worker look at tasks."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

HEADER = "taskledger_signature"


def signature(type_name: str, ids: Iterable[Any], *, key: str) -> str:
    """HMAC-SHA256 over the type and the ids, in hexadecimal; the purpose is part of it, because the key has others."""
    said = "\n".join(["taskledger hint", type_name, *(str(id_) for id_ in ids)])
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()


def is_signed(given: Any, type_name: str, ids: Iterable[Any], *, key: str) -> bool:
    """Whether a hint's signature is ours."""
    return isinstance(given, str) and hmac.compare_digest(given, signature(type_name, ids, key=key))
