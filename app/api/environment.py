"""The settings of the application that answers the request."""

from flask import Flask, current_app

from app.config import Settings


def current_settings() -> Settings:
    """What this application was made with."""
    settings: Settings = current_app.extensions["taskledger.settings"]
    return settings


def register(app: Flask, settings: Settings) -> None:
    """Keep the settings with the application."""
    app.extensions["taskledger.settings"] = settings
