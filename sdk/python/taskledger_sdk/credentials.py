"""What `tledger login` keeps: an address and an API key by profile, in one file that only its owner can read."""

import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskledger_sdk.http.errors import NotConfigured

DEFAULT_PROFILE = "default"
FILE_NAME = "credentials.json"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A service, and a key for it."""

    url: str
    api_key: str = field(repr=False)
    may_be_plain: bool = False
    """Whether somebody said that plain HTTP is good enough on the way there."""


def path_of_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is: $XDG_CONFIG_HOME/taskledger/credentials.json, or below ~/.config."""
    base = Path(environ.get("XDG_CONFIG_HOME") or "")
    if not base.is_absolute():  # as the specification of these variables wants
        base = Path(environ.get("HOME") or Path.home()) / ".config"
    return base / "taskledger" / FILE_NAME


def load(path: Path, *, warn: Callable[[str], None]) -> dict[str, Profile]:
    """The profiles by name; none when there is no file.

    A file that others may read is made private, and `warn` is told; NotConfigured is raised where that is not possible,
    for a file of somebody else's, and for one that cannot be understood.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _see_that_it_is_private(path, os.fstat(file.fileno()), warn)
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        return {name: _profile(said) for name, said in json.loads(text)["profiles"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotConfigured(f"{path} is damaged: remove it, and log in again with `tledger login`.") from None


def store(path: Path, profiles: Mapping[str, Profile]) -> None:
    """Replace the file in one step; only its owner can read it, from its first moment. Raises NotConfigured."""
    said = {"profiles": {name: _said(profile) for name, profile in sorted(profiles.items())}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(said, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NotConfigured(f"{path} cannot be written: {error.strerror or error}.") from None


def _see_that_it_is_private(path: Path, found: os.stat_result, warn: Callable[[str], None]) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise NotConfigured(f"{path} belongs to somebody else, so that its keys are not used: remove it.")
    if found.st_mode & OTHERS:
        try:
            path.chmod(0o600)
        except OSError:
            raise NotConfigured(f"{path} can be read by others: run `chmod 600 {path}`.") from None
        warn(
            f"{path} could be read by others (mode {stat.S_IMODE(found.st_mode):o}); it is private now. "
            "If others use this machine, revoke its keys and log in again."
        )


def _profile(said: Mapping[str, Any]) -> Profile:
    url, key = said["url"], said["api_key"]
    if not (isinstance(url, str) and isinstance(key, str)):
        raise TypeError
    return Profile(url=url, api_key=key, may_be_plain=said.get("insecure_http") is True)


def _said(profile: Profile) -> dict[str, Any]:
    said: dict[str, Any] = {"url": profile.url, "api_key": profile.api_key}
    return said | {"insecure_http": True} if profile.may_be_plain else said
