"""Reading the settings: from the environment, once, with every fault reported at once."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError

from app.config.outputs import DEFAULT_VAR_DIR
from app.config.production import faults_of
from app.config.secret_files import SUFFIX, with_files
from app.config.settings import Settings
from app.errors import SettingsError

EMBEDDED_FILE = "embedded.env"
ADDRESSES = ("DATABASE_URL", "BROKER_URL")
FROM_FILES = (*(setting.name.upper() for setting in fields(Settings)), "FLOWER_BASIC_AUTH")
# Blank means off for these, so that unset and blank differ; what is unset depends on where the service runs.
RATE_LIMITS = {
    "development": {"RATE_LIMIT_AUTH": "120 per minute"},
    "production": {
        "RATE_LIMIT_CREATE": "3000 per minute",
        "RATE_LIMIT_READ": "6000 per minute",
        "RATE_LIMIT_AUTH": "30 per minute",
    },
}
RENAMED = {"SCALING_SLOTS_PER_WORKER": "SCALING_CONCURRENCY_PER_WORKER"}
"""Settings under their old names, which are read for one release more; the new name counts where both are set."""
BLANK_IS_OFF = frozenset({*RATE_LIMITS["production"], "BUILTIN_TASK_TYPES"})


class _Environment(Env):
    """environs over a given mapping; the library itself always reads os.environ."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._given = environ

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key, default)


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from a mapping; an empty value counts as unset, NAME_FILE names a file with the value of NAME.

    Raises SettingsError that lists every fault.
    """
    environ, file_faults = with_files(environ, FROM_FILES)
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    given = {RENAMED[name]: value for name, value in given.items() if name in RENAMED} | given
    rates = RATE_LIMITS.get(given.get("APP_ENV", "development"), {})
    given = {name: rate for name, rate in rates.items() if name not in environ} | given
    reader = _Environment(given)
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        default = ... if setting.default is MISSING else setting.default
        if setting.name.upper() in BLANK_IS_OFF & set(environ):
            default = ""
        parse = getattr(reader, setting.metadata["kind"])
        values[setting.name] = parse(setting.name.upper(), default, validate=setting.metadata["check"])
    faults = []
    try:
        reader.seal()
    except EnvValidationError as error:
        faults = [_fault(name, given, error.error_messages) for name in error.error_messages]
    if values["app_env"] == "production":
        faults += faults_of(given)
    if faults or file_faults:
        raise SettingsError(file_faults + faults)
    return Settings(**values)


def _fault(name: str, given: Mapping[str, str], messages: Any) -> str:
    example = next(each.metadata["example"] for each in fields(Settings) if each.name.upper() == name)
    if name not in given:
        return f"{name} is not set: start `make run` beside this (it writes {EMBEDDED_FILE}), or set {name}={example}"
    return f"{name} is refused: {' '.join(map(str, messages[name]))} Example: {name}={example}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. Raises SettingsError."""
    return load(given_here(os.environ))


def given_here(environ: Mapping[str, str]) -> dict[str, str]:
    """What is set, and beside a running `make run` what its embedded.env says. Raises SettingsError."""
    given = {name: value for name, value in environ.items() if value.strip() or name in BLANK_IS_OFF}
    is_complete = all(name in given or name + SUFFIX in given for name in ADDRESSES)
    if is_complete or given.get("APP_ENV") == "production":
        return given
    return read_embedded(Path(given.get("VAR_DIR", DEFAULT_VAR_DIR)) / EMBEDDED_FILE) | given


def read_embedded(path: Path) -> dict[str, str]:
    """What `make run` wrote there; nothing where it did not. Raises SettingsError for a file that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        advice = "run this as the user of `make run`, or set DATABASE_URL and BROKER_URL"
        reason = getattr(error, "strerror", "it is no text in UTF-8")
        raise SettingsError([f"{path} cannot be read ({reason}): {advice}"]) from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
