"""Which service to talk to, and as whom: arguments, then the environment, then what `tledger login` keeps."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from taskledger_sdk import credentials
from taskledger_sdk.credentials import DEFAULT_PROFILE, Profile
from taskledger_sdk.http.addresses import base_url_of, is_loopback
from taskledger_sdk.http.errors import NotConfigured

DEFAULT_URL = "http://127.0.0.1:8000"
LOCAL_FILES = ("var/embedded.env", ".taskledger/embedded.env")
"""What a service that runs in this directory, for one person, leaves there."""
YES = frozenset(("1", "true", "yes", "on"))


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A service and a credential for it. The address has no /api/v1 and no slash at its end."""

    url: str
    api_key: str = field(default="", repr=False)
    ca_file: Path | None = None
    profile: str | None = None
    """The profile that the key is from; None: it is from elsewhere."""
    key_from: str = "nowhere"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody said in arguments; None where they said nothing."""

    url: str | None = None
    profile: str | None = None
    may_be_plain: bool = False
    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


def find(
    wanted: Wanted,
    *,
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Connection:
    """The connection to use; its key is empty where none was found. Raises NotConfigured.

    A key of the file, or of a service that runs here, is sent to the address that it is kept with and to no other.
    `warn` is told when the file was mended; `directory` is the current one unless given.
    """
    name = wanted.profile or environ.get("TASKLEDGER_PROFILE") or DEFAULT_PROFILE
    kept = credentials.load(credentials.path_of_file(environ), warn=warn)
    profile = kept.get(name)
    if profile is None and (wanted.profile or environ.get("TASKLEDGER_PROFILE")):
        raise NotConfigured(
            f"There is no profile {name!r} ({', '.join(sorted(kept)) or 'none is stored'}): "
            f"make it with `tledger login --profile {name}`."
        )
    # An argument wins over the environment: whoever names a profile wants its address and its key.
    said = {} if wanted.profile else environ
    local = None if profile else local_service(directory or Path(), environ)
    url = wanted.url or said.get("TASKLEDGER_URL") or (profile or local or Profile(url=DEFAULT_URL, api_key="")).url
    may_be_plain = wanted.may_be_plain or environ.get("TASKLEDGER_INSECURE_HTTP", "").lower() in YES
    may_be_plain = may_be_plain or (profile is not None and profile.may_be_plain and profile.url == url)
    url = base_url_of(url, may_be_plain=may_be_plain)
    ca_file = wanted.ca_file or environ.get("TASKLEDGER_CA_FILE")
    found = Connection(url=url, ca_file=Path(ca_file) if ca_file else None)
    if wanted.api_key is not None:
        return _with_key(found, wanted.api_key, "api_key")
    if said.get("TASKLEDGER_API_KEY"):
        return _with_key(found, said["TASKLEDGER_API_KEY"], "TASKLEDGER_API_KEY")
    if profile is not None and profile.url == url:
        return _with_key(found, profile.api_key, f"profile {name}", profile=name)
    if local is not None and local.url == url:
        return _with_key(found, local.api_key, "the service that runs in this directory")
    return found


def checked_key(key: str, source: str) -> str:
    """The key, as it may stand in a header. Raises NotConfigured, without repeating it."""
    key = key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise NotConfigured(f"{source} is no API key: a key is one word, and begins with tl_.")
    return key


def local_service(directory: Path, environ: Mapping[str, str] = os.environ) -> Profile | None:
    """A service that `make run` or `tledger up` has made in this directory, on this machine; None: there is none."""
    places = [Path(environ["VAR_DIR"]) / "embedded.env"] if environ.get("VAR_DIR") else []
    for place in [*places, *(directory / name for name in LOCAL_FILES)]:
        try:
            with place.open(encoding="utf-8") as file:
                found = os.fstat(file.fileno())
                if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    continue  # whoever can write it could send what we submit somewhere else
                pairs = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line and line[0] != "#")
            url = base_url_of(pairs["TASKLEDGER_URL"], may_be_plain=True)
        except (OSError, UnicodeDecodeError, KeyError, NotConfigured):
            continue
        if is_loopback(url.partition("://")[2].rpartition(":")[0].strip("[]")):
            return Profile(url=url, api_key=pairs.get("ADMIN_API_KEY", ""))
    return None


def _with_key(found: Connection, key: str, source: str, *, profile: str | None = None) -> Connection:
    return Connection(
        url=found.url, api_key=checked_key(key, source), ca_file=found.ca_file, profile=profile, key_from=source
    )
