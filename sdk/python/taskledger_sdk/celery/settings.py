"""What an adopted application says of its ledger: by arguments, by `conf.taskledger_*`, by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

RETRY_SECONDS = 10.0
"""A caller of .delay() is often a web request: the ledger is asked again for this long, and then it is an error."""
NO = frozenset(("0", "false", "no", "off"))
SWITCH = "TASKLEDGER_ADOPT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """None: as `Client` finds it, in the environment or in what `tledger login` keeps."""

    enabled: bool = True
    """Whether calls go to the ledger; False: all is as without adopt(). TASKLEDGER_ADOPT=0 says the same."""
    url: str | None = None
    api_key: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    allow_http: bool = False
    retry_seconds: float = RETRY_SECONDS
    django_transactions: bool = True
    """Whether a call within Django's transaction.atomic() takes part in it."""


NAMES = tuple(each.name for each in fields(Settings))


def read(given: Mapping[str, Any], conf: Any, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of an application; `given` are arguments, None for those left out. Raises TypeError."""
    found: dict[str, Any] = {}
    for name in NAMES:
        value = given.get(name)
        if value is None:
            value = conf.get(f"taskledger_{name}")
        if value is not None:
            found[name] = value
    if "enabled" not in found and environ.get(SWITCH, "").lower() in NO:
        found["enabled"] = False
    return Settings(**found)


def check_names(given: Mapping[str, Any]) -> None:
    """Raises TypeError for an argument that is no setting."""
    unknown = sorted(given.keys() - set(NAMES))
    if unknown:
        raise TypeError(f"adopt() has no argument {unknown[0]!r}; it has {', '.join(NAMES)}")
