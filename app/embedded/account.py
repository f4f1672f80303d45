"""The account PostgreSQL runs as: it refuses to run as root, so root lends it an unprivileged one."""

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import CannotStart

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account of this machine that is not root."""

    name: str
    uid: int
    gid: int

    def give(self, *paths: Path) -> None:
        """Make the account the owner of the paths."""
        for path in paths:
            os.chown(path, self.uid, self.gid)


def account_for(data: Path) -> Account | None:
    """Who runs PostgreSQL: None is whoever started us; for root, the owner of the data, else `nobody`."""
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    entry = pwd.getpwuid(owner) if owner != 0 else pwd.getpwnam(UNPRIVILEGED)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def run_as(
    account: Account | None, arguments: Sequence[str | Path], *, text: str | None = None, folder: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as the account, or as ourselves when there is none; its output is captured."""
    return subprocess.run(
        arguments,
        input=text,
        text=True,
        capture_output=True,
        check=False,
        cwd=folder,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def check_reachable(account: Account, program: Path, folder: Path) -> None:
    """Raises CannotStart when the account cannot run the program or cannot enter the folder."""
    try:
        run_as(account, [program, "--version"], folder=folder).check_returncode()
    except (OSError, subprocess.CalledProcessError):
        closed = _closed_directory(account, program) or _closed_directory(account, folder / "postgres") or folder
        raise CannotStart(
            f"PostgreSQL does not run as root, and the account {account.name!r} that would run it cannot enter "
            f"{closed}: run this as a normal user, or keep the checkout (and VAR_DIR) in a directory that "
            "everyone may enter, such as /opt/taskledger, or set DATABASE_URL."
        ) from None


def _closed_directory(account: Account, path: Path) -> Path | None:
    """The outermost directory above the path that the account may not enter, as the permission bits say."""
    for folder in reversed(path.parents):
        status = folder.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return folder
    return None
