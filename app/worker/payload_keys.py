"""The keys with which a worker encrypts and decrypts: those of its settings."""

from app.config import get_settings
from app.services.encryption import ciphertexts


def payload_keys() -> ciphertexts.Keys:
    """The first one encrypts, all of them decrypt; none where PAYLOAD_KEYS is not set."""
    return ciphertexts.keys(get_settings().payload_keys)
