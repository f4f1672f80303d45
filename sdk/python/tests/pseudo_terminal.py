"""A command in a terminal of 80 columns, and a person who answers its questions."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence


def run(
    arguments: Sequence[str], *, environment: Mapping[str, str], answers: Sequence[tuple[str, str]] = ()
) -> tuple[int, str]:
    """The exit status of `tledger`, and all that was seen; `answers` are typed when their questions are seen."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "taskledger_sdk.cli", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", **environment},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    seen = ""
    for question, text in answers:
        while question not in seen:
            seen += os.read(terminal, 1024).decode()
        os.write(terminal, f"{text}\n".encode())
    try:
        while chunk := os.read(terminal, 1024):
            seen += chunk.decode()
    except OSError:  # its other end is closed
        pass
    os.close(terminal)
    return process.wait(timeout=30), seen
