"""What is checked before anything starts, so that a fault is one clear line and not a page of logs."""

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterable
from typing import TextIO

from app.embedded.errors import CannotStart
from app.embedded.programs import Port
from app.embedded.settings import EmbeddedSettings, readable


def prepare_directories(settings: EmbeddedSettings) -> None:
    """Make the var directory and its log directory, for this account alone. Raises CannotStart when that is impossible.

    Logs, mails and files of tasks tell what people do; an older version left them readable for everybody.
    """
    try:
        for folder in (settings.var_dir, settings.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        _close_to_others(settings)
    except OSError as error:
        raise CannotStart(
            f"Cannot write to {readable(settings.var_dir)} ({error.strerror}): "
            "give this account the right to, or choose another directory, for example VAR_DIR=/tmp/taskledger."
        ) from error


def _close_to_others(settings: EmbeddedSettings) -> None:
    ours = os.geteuid()
    for path in (*settings.var_dir.iterdir(), *settings.log_dir.iterdir(), *settings.var_dir.glob("mail/*")):
        found = path.lstat()
        if found.st_uid == ours and not stat.S_ISLNK(found.st_mode):
            path.chmod(0o700 if stat.S_ISDIR(found.st_mode) else 0o600)
    if settings.var_dir.lstat().st_uid == ours:
        # PostgreSQL's account, which root needs one of, passes through and lists nothing.
        settings.var_dir.chmod(0o711 if ours == 0 else 0o700)


def check_ownership(settings: EmbeddedSettings) -> None:
    """Raises CannotStart for a file of an earlier start that this account may not replace."""
    for path in (*settings.var_dir.iterdir(), *settings.log_dir.iterdir()):
        if not os.access(path, os.R_OK | os.W_OK):
            raise CannotStart(
                f"{readable(path)} belongs to {path.owner()}: start as that account, or choose another VAR_DIR."
            )


def take_lock(settings: EmbeddedSettings) -> TextIO:
    """Hold the var directory for this process. Raises CannotStart when another one holds it.

    The lock ends with the process, however that ends; keep the returned file.
    """
    file = (settings.var_dir / "embedded.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise CannotStart(
            f"Taskledger is running in {readable(settings.var_dir)} already (process {file.read().strip()}): "
            "use that one, stop it, or choose another VAR_DIR and other ports."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def check_ports(ports: Iterable[Port]) -> None:
    """Raises CannotStart for the first port that is taken, by another program or twice by our own."""
    seen: dict[int, Port] = {}
    for port in ports:
        if port.number in seen:
            raise CannotStart(
                f"{port.setting} and {seen[port.number].setting} are both {port.number}: give each its own port."
            )
        seen[port.number] = port
        _check_free(port)


def _check_free(port: Port) -> None:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except PermissionError as error:
            raise CannotStart(
                f"This account may not listen on port {port.number} ({port.purpose}): "
                f"choose one above 1023, for example {port.setting}={port.number + 8000} make run."
            ) from error
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {port.host}:{port.number} for {port.purpose} ({error.strerror}): stop what listens "
                f"there, or choose another port, for example {port.setting}={port.number + 1} make run."
            ) from error
