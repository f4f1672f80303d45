"""Secrets that the service gives out: random, recognisable by their prefix, kept as a digest. Pure."""

import hashlib
import secrets

API_KEY_PREFIX = "tl_"
REFRESH_PREFIX = "tlr_"
RANDOM_BYTES = 32
SHOWN_CHARACTERS = 10  # of an API key, to tell keys apart; 42 bits of randomness, useless to guess the rest


def new_api_key() -> str:
    """tl_ and 43 random characters."""
    return API_KEY_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_refresh_token() -> str:
    """tlr_ and 43 random characters."""
    return REFRESH_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(secret: str) -> bytes:
    """What is stored. A slow hash is for passwords; 256 random bits cannot be guessed from a fast one either."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def shown(api_key: str) -> str:
    """The part of a key that may be shown again."""
    return api_key[:SHOWN_CHARACTERS]
