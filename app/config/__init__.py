"""Settings: environment variables, read once, checked all at once, frozen. One file a theme.

What stands here is loaded when it is asked for: a health check runs each few seconds, and needs two small modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
ELSEWHERE = {"DEFAULT_VAR_DIR": "outputs", "Settings": "settings", "words": "setting"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{ELSEWHERE.get(name, 'loading')}"), name)
    return found
