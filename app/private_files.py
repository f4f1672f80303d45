"""Directories at places that others may write to, such as /tmp: ours, or refused."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from app.errors import SettingsError


def private_directory(path: Path, setting: str) -> Path:
    """The directory, which nobody but this account can enter; made if there is none.

    In a directory that everybody may write to, its name is known beforehand: somebody else may have put a link there,
    or a directory of their own. `setting` names where another one is chosen. Raises SettingsError.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    fault = None
    if stat.S_ISLNK(found.st_mode):
        fault = "is a link"
    elif not stat.S_ISDIR(found.st_mode):
        fault = "is no directory"
    elif found.st_uid != os.geteuid():
        fault = f"belongs to the account with number {found.st_uid}"
    if fault is not None:
        remedy = f"look who made it and remove it, or set {setting} to a directory that only this account may write to"
        raise SettingsError([f"{setting}: {path} {fault}, and was not made by this account: {remedy}."])
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)
    return path
