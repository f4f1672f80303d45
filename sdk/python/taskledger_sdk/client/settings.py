"""What both clients are made with."""

import os
import warnings
from pathlib import Path

from taskledger_sdk import connection
from taskledger_sdk.connection import Connection, Wanted
from taskledger_sdk.http.errors import NotConfigured
from taskledger_sdk.http.retrying import Patience

RETRY_SECONDS = 60.0


def connection_of(
    url: str | None,
    api_key: str | None,
    profile: str | None,
    ca_file: str | os.PathLike[str] | None,
    *,
    allow_http: bool,
) -> Connection:
    """Where to, and as whom: arguments, then the environment, then what `tledger login` keeps. Raises NotConfigured."""
    wanted = Wanted(
        url=url,
        profile=profile,
        may_be_plain=allow_http,
        api_key=api_key,
        ca_file=None if ca_file is None else Path(ca_file),
    )
    found = connection.find(wanted, warn=lambda text: warnings.warn(text, stacklevel=4))
    if not found.api_key:
        raise NotConfigured(
            f"There is no API key for {found.url}: give api_key=, set TASKLEDGER_API_KEY, or run "
            f"`tledger login --url {found.url}`."
        )
    return found


def patience_of(retry_seconds: float) -> Patience:
    """As many tries as the time allows; a quota is for the caller to decide about."""
    return Patience(tries=None, seconds=retry_seconds, waits_for_room=False)
