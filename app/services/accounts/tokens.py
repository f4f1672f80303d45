"""Access tokens: short-lived JWTs that name an account, its token version and the log-in they come from. Pure."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt

ISSUER = "taskledger"
ALGORITHM = "HS256"
LIFETIME = timedelta(minutes=15)
REQUIRED = ["iss", "sub", "iat", "exp", "ver", "sid"]


class BadToken(Exception):
    """The token is not one of ours, or its time is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a valid access token says; the account decides whether it still holds."""

    user_id: UUID
    version: int
    family: UUID


def signing_key(secret_key: str) -> bytes:
    """A key for access tokens only: what else SECRET_KEY signs (list cursors) is no token, and the reverse."""
    return hmac.digest(secret_key.encode(), b"taskledger access token 1", "sha256")


def issue(claims: Claims, *, key: bytes, now: datetime) -> str:
    """A signed token that ends LIFETIME after `now`."""
    body = {
        "iss": ISSUER,
        "sub": str(claims.user_id),
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME).timestamp()),
        "jti": uuid4().hex,
        "ver": claims.version,
        "sid": str(claims.family),
    }
    return jwt.encode(body, key, algorithm=ALGORITHM)


def read(token: str, *, key: bytes, older: Sequence[bytes] = (), now: datetime) -> Claims:
    """The claims of a token that one of the keys has signed.

    Raises BadToken whatever is wrong with it; the message says no more than needed.
    """
    keys = (key, *older)
    signed_by = next((each for each in keys if len(keys) > 1 and _is_signed_by(token, each)), key)
    return _read(token, key=signed_by, now=now)


def _is_signed_by(token: str, key: bytes) -> bool:
    try:
        jwt.api_jws.decode(token, key, algorithms=[ALGORITHM])
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _read(token: str, *, key: bytes, now: datetime) -> Claims:
    try:
        # The list of algorithms is ours: a token that asks for `none`, or for another one, is refused.
        # Time is checked below, against the one clock.
        body: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": REQUIRED, "verify_exp": False, "verify_iat": False},
        )
        claims = Claims(user_id=UUID(body["sub"]), version=int(body["ver"]), family=UUID(body["sid"]))
        ends = float(body["exp"])
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadToken("The access token is not valid: log in again.") from error
    if ends <= now.timestamp():
        raise BadToken("The access token has expired: get a new one from /api/v1/auth/refresh.")
    return claims
