"""Settings: environment variables, read once, checked all at once, frozen. One file a theme."""

from app.config.loading import (
    BLANK_IS_OFF,
    EMBEDDED_FILE,
    FROM_FILES,
    get_settings,
    given_here,
    load,
    read_embedded,
)
from app.config.outputs import DEFAULT_VAR_DIR
from app.config.setting import words
from app.config.settings import Settings

__all__ = [
    "BLANK_IS_OFF",
    "DEFAULT_VAR_DIR",
    "EMBEDDED_FILE",
    "FROM_FILES",
    "Settings",
    "get_settings",
    "given_here",
    "load",
    "read_embedded",
    "words",
]
