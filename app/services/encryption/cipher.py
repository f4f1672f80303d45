"""AES-256-GCM of the library cryptography; imported where there are keys."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Cipher:
    """One key at work."""

    def __init__(self, key: bytes) -> None:
        self._aes = AESGCM(key)

    def encrypt(self, nonce: bytes, data: bytes, bound_to: bytes) -> bytes:
        """The data, readable with the same key, nonce and place only."""
        return self._aes.encrypt(nonce, data, bound_to)

    def decrypt(self, nonce: bytes, data: bytes, bound_to: bytes) -> bytes:
        """The data again. Raises ValueError for what was changed, or is bound to another place."""
        try:
            return self._aes.decrypt(nonce, data, bound_to)
        except InvalidTag:
            raise ValueError("it was changed, or belongs elsewhere") from None
