"""Payloads and results of sensitive types: encrypted in the row, readable with a key from the environment only.

AES-256-GCM, bound to the task and the column: a value that is copied into another row cannot be decrypted there.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from app.config import words
from app.database import to_json
from app.errors import Refused, TaskledgerError

if TYPE_CHECKING:
    from app.services.encryption.cipher import Cipher

MARK = "$sealed"  # as rows have it
MASKED = {"$redacted": True}
NONCE_BYTES = 12


class CannotDecrypt(TaskledgerError):
    """An encrypted value whose key is not among PAYLOAD_KEYS, or that was changed or moved to another row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key, and the short name that encrypted values carry of it."""

    name: str
    cipher: "Cipher"


Keys: TypeAlias = Sequence[Key]


@lru_cache(maxsize=8)
def keys(setting: str) -> Keys:
    """The keys of PAYLOAD_KEYS: the first one encrypts, all of them decrypt, so that a new one is put in front."""
    return tuple(_key(word) for word in words(setting))


def _key(word: str) -> Key:
    from app.services.encryption.cipher import Cipher  # 7 MB that processes without keys do without

    standard = word.replace("+", "-").replace("/", "_")
    raw = base64.urlsafe_b64decode(standard + "=" * (-len(standard) % 4))
    return Key(name=sha256(b"taskledger payload key" + raw).hexdigest()[:8], cipher=Cipher(raw))


def encrypted(value: Any, task_id: UUID, column: str, *, keys: Keys) -> dict[str, Any]:
    """The value encrypted, as it is stored. Raises Refused where no key is configured: never stored in the clear."""
    if not keys:
        message = "is sensitive, and this service has no PAYLOAD_KEYS to encrypt its payload with"
        raise Refused({"type": [message]}, code="sealing_unavailable")
    return _boxed(to_json(value).encode(), task_id, column, key=keys[0])


def _boxed(text: bytes, task_id: UUID, column: str, *, key: Key) -> dict[str, Any]:
    nonce = os.urandom(NONCE_BYTES)
    data = nonce + key.cipher.encrypt(nonce, text, _place(task_id, column))
    return {MARK: {"key": key.name, "data": base64.b64encode(data).decode()}}


def reencrypted(value: dict[str, Any], task_id: UUID, column: str, *, keys: Keys) -> dict[str, Any]:
    """A value encrypted anew with the first key, byte for byte what it was. Raises CannotDecrypt."""
    return _boxed(_text(value, task_id, column, keys), task_id, column, key=keys[0])


def is_encrypted(value: Any) -> bool:
    """Whether a stored value looks like one of ours; only values of sensitive types are."""
    return isinstance(value, dict) and value.keys() == {MARK} and isinstance(value[MARK], dict)


def decrypted(value: Any, task_id: UUID, column: str, *, keys: Keys) -> Any:
    """The value again; what is not encrypted is returned as it is (stored before its type became sensitive).

    Raises CannotDecrypt.
    """
    return json.loads(_text(value, task_id, column, keys)) if is_encrypted(value) else value


def _text(value: dict[str, Any], task_id: UUID, column: str, keys: Keys) -> bytes:
    box = value[MARK]
    key = next((each for each in keys if each.name == box.get("key")), None)
    if key is None:
        raise CannotDecrypt(f"the {column} is encrypted with key {box.get('key')}, which is not among PAYLOAD_KEYS")
    try:
        data = base64.b64decode(box["data"], validate=True)
        return key.cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _place(task_id, column))
    except (KeyError, TypeError, ValueError) as error:
        raise CannotDecrypt(f"the encrypted {column} was changed, or belongs to another task") from error


def _place(task_id: UUID, column: str) -> bytes:
    return task_id.bytes + column.encode()
