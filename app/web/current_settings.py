"""The settings of the application that answers the request."""

import hashlib
from typing import Any

from flask import Flask, current_app

from app.config import Settings

SIGNED_BY: dict[str, Any] = {"digest_method": hashlib.sha256}
"""How what comes back is signed: HMAC-SHA-256, where itsdangerous itself would take SHA-1."""


def current_settings() -> Settings:
    """What this application was made with."""
    settings: Settings = current_app.extensions["taskledger.settings"]
    return settings


def signing_keys() -> list[str]:
    """The keys of what is signed and comes back (cursors, tokens of dry runs): the last one signs, all are accepted.

    In the order of itsdangerous, the oldest first.
    """
    return list(reversed(current_settings().secret_keys))


def register(app: Flask, settings: Settings) -> None:
    """Keep the settings with the application."""
    app.extensions["taskledger.settings"] = settings
