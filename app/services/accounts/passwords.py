"""Passwords: the rules for new ones, and their argon2id hashes. No database.

One password has several byte sequences: a Mac may send é as e and an accent, others send one character. So what is
hashed is the form that RFC 8265 (OpaqueString) prescribes: canonically composed (NFC), every space an ASCII space.
"""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import ProblemError, Refused
from app.services.accounts.common_passwords import common

SHORTEST, LONGEST = 8, 128
MAX_AT_ONCE = 2  # hashes; each takes 19 MiB and 40 ms of a core, and requests of others want those too
PATIENCE_SECONDS = 5.0
FEWEST_DIFFERENT = 4

# OWASP's second choice for argon2id (19 MiB, two passes): a quarter of the CPU time of RFC 9106's low-memory profile.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_turns = threading.BoundedSemaphore(MAX_AT_ONCE)


class TooManyChecks(ProblemError):
    """Too many passwords are being checked at once; try again in a few seconds."""

    status, code = 503, "busy"
    retry_after_seconds = 2


def normalised(password: str) -> str:
    """The one form of a password, however it was typed; RFC 8265 calls it OpaqueString."""
    if password.isascii():
        return password
    spaced = "".join(" " if unicodedata.category(each) == "Zs" else each for each in password)
    return unicodedata.normalize("NFC", spaced)


def check_new(password: str, *, email: str, name: str = "") -> None:
    """Raises Refused for a password that is too short, too long, or that guessing tools try first."""
    fault = _fault(normalised(password), email.lower(), normalised(name).lower())
    if fault:
        raise Refused({"password": [fault]})


def _fault(password: str, email: str, name: str) -> str | None:
    if not SHORTEST <= len(password) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    plain = password.casefold()
    bare = plain.strip("0123456789!?.,*#@$%&+-_ ")
    if plain in common() or bare in common() or not bare:
        return "is one of the most common passwords, or digits only; a few random words make a good one"
    if len(set(plain)) < FEWEST_DIFFERENT:
        return f"must have at least {FEWEST_DIFFERENT} different characters"
    if plain in (email, email.partition("@")[0], name):
        return "must not be the name or the e-mail address of the account"
    return None


def hashed(password: str) -> str:
    """Its argon2id hash. Raises TooManyChecks."""
    with _turn():
        return HASHER.hash(normalised(password).encode())


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one of the hash; takes as long when there is no hash. Raises TooManyChecks."""
    with _turn():
        is_right = any(_fits(password_hash or _hash_of_nobody(), form) for form in _forms(password))
    return is_right and password_hash is not None


def _forms(password: str) -> list[str]:
    """What may have been hashed: the one form, and before there was one, as it was typed or as a Mac types it."""
    return list(dict.fromkeys((normalised(password), password, unicodedata.normalize("NFD", password))))


def _fits(password_hash: str, form: str) -> bool:
    try:
        return HASHER.verify(password_hash, form.encode())
    except (VerificationError, InvalidHashError):
        return False


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=PATIENCE_SECONDS):
        raise TooManyChecks("Too many passwords are being checked at once; try again in a few seconds.")
    try:
        yield
    finally:
        _turns.release()


_nobody: list[str] = []


def _hash_of_nobody() -> str:
    """A hash that no password is known for, made once at the first need with the parameters in force."""
    if not _nobody:
        _nobody.append(HASHER.hash(b"nobody has this password"))
    return _nobody[0]
