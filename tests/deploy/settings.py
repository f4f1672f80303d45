"""Which variables our processes understand, so that no file sets one that nobody reads."""

from dataclasses import fields

from app.config import Settings
from taskledger_sdk.registry import load_types

OF_TOOLS = {
    "FLOWER_BASIC_AUTH",
    "FLOWER_BROKER_API",
    "FLOWER_DB",
    "FLOWER_PERSISTENT",
    "FLOWER_STATE_SAVE_INTERVAL",
    "GUNICORN_CMD_ARGS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "WEB_CONCURRENCY",
}


def known_variables() -> set[str]:
    """Names of settings, of the settings of task types, and of what Python and its servers read."""
    ours = {setting.name.upper() for setting in fields(Settings)}
    ours |= {name for kind in load_types().values() for name in kind.settings}
    return ours | {f"{name}_FILE" for name in ours} | OF_TOOLS
