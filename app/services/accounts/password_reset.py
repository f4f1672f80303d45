"""Codes with which somebody sets a new password in place of a forgotten one: signed, for an hour, good once. Pure.

Nothing of them is kept: a code names the account and the password that it replaces, so that it is void as soon as there
is another one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from app.errors import Refused

LIFETIME = timedelta(hours=1)
SALT = "password.reset"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a code is for, if the account's password is still the one with this fingerprint."""

    user_id: UUID
    fingerprint: str


def code_for(user_id: UUID, password_hash: str, *, keys: Sequence[str], now: datetime) -> str:
    """A code for an account. `keys`: the oldest first, as itsdangerous has them; the last one signs."""
    ends = int((now + LIFETIME).timestamp())
    return str(_serializer(keys).dumps([user_id.hex, fingerprint(password_hash), ends]))


def read(code: str, *, keys: Sequence[str], now: datetime) -> Wanted:
    """What a code is for. Raises Refused for one that is not of ours, or older than an hour."""
    try:
        user_id, fingerprint_, ends = _serializer(keys).loads(code.strip())
    except BadSignature:
        raise refused() from None
    if ends <= now.timestamp():
        raise refused()
    return Wanted(user_id=UUID(user_id), fingerprint=fingerprint_)


def refused() -> Refused:
    """The same whatever is wrong with a code."""
    return Refused({"code": ["is not valid, was used already, or is older than an hour: ask an admin for another one"]})


def fingerprint(password_hash: str) -> str:
    """Tells one password hash from the next, and nothing about the password."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:32]


def _serializer(keys: Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(list(keys), salt=SALT, signer_kwargs={"digest_method": hashlib.sha256})
