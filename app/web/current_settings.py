"""The settings of the application that answers the request."""

from flask import Flask, current_app

from app.config import Settings


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
