"""The tokens of dry runs: what was counted is signed, and nothing else can be changed with it."""

from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.errors import Refused
from app.web.access import current_principal
from app.web.current_settings import SIGNED_BY, signing_keys

TOKEN_SECONDS = 15 * 60


def token_for(action: str, choice: dict[str, Any]) -> str:
    """A token for this action on what was counted."""
    return str(_serializer(action).dumps(choice))


def choice_in(action: str, token: str | None) -> dict[str, Any]:
    """What was counted. Raises Refused without a token, and for one that is not valid (any more)."""
    if token is None:
        raise Refused({"token": ['is missing: ask with "dry_run": true first, and send the token that it returns']})
    try:
        choice: dict[str, Any] = _serializer(action).loads(token, max_age=TOKEN_SECONDS)
    except BadSignature:
        raise Refused({"token": ["is not valid, or older than 15 minutes: do the dry run again"]}) from None
    return choice


def _serializer(action: str) -> URLSafeTimedSerializer:
    # A token is its caller's: an admin's would name everybody's tasks.
    salt = f"{action}.{current_principal().sees}"
    return URLSafeTimedSerializer(signing_keys(), salt=salt, signer_kwargs=SIGNED_BY)
