"""What is undone after attempts, in a process of its own: between two of a chunk, and at its end."""

import json
import subprocess
import sys

from tests.support.servers.databases import ROOT

BEGIN = """
import os, signal, subprocess, sys
from app.worker.leftovers import LEFTOVERS
LEFTOVERS.begin()
LEFTOVERS.remember()
before = os.getcwd(), os.fstat(1).st_ino
"""
DEEDS = {
    "a timer with a handler": (
        "signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 60)",
        "signal.getitimer(signal.ITIMER_REAL)[0] == 0",
    ),
    "a process": (
        "child = subprocess.Popen(['sleep', '60'])",
        "not os.path.exists(f'/proc/{child.pid}')",
    ),
    "a closed stream": ("sys.stdout.close()", "sys.stdout.write('') == 0"),
    "a closed descriptor": ("os.close(1)", "os.fstat(1).st_ino == before[1]"),
    "another folder": ("os.chdir('/')", "os.getcwd() == before[0]"),
    "another mask of files": ("os.umask(0o777)", "os.umask(0) != 0o777"),
    "a signal that is ignored": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGTERM) != signal.SIG_IGN",
    ),
    "a signal that is blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())",
    ),
}
USE_ALL = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
"""
AT_THE_END = {
    "a timer without a handler": (
        "signal.setitimer(signal.ITIMER_VIRTUAL, 60)",
        "signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0",
    ),
    "a stream that is another file": (
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "os.fstat(1).st_ino == before[1]",
    ),
    "a free descriptor where all are used": (
        USE_ALL,
        "os.open('/dev/null', os.O_RDONLY) > 0 and 'files open' in LEFTOVERS.reason_to_end()",
    ),
}


ALL_OF_THEM = """
import json
for what, (deed, is_undone) in json.loads(sys.argv[1]).items():
    exec(deed)
    LEFTOVERS.{clear}()
    assert eval(is_undone), what
"""


def assert_undone(clear: str, deeds: dict[str, tuple[str, str]], begin: str = BEGIN) -> None:
    """Do each in a process that is a child of the pool, undo it, and have that process look."""
    command = [sys.executable, "-c", begin + ALL_OF_THEM.format(clear=clear), json.dumps(deeds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_is_undone_between_two_attempts_of_a_chunk():
    assert_undone("clear_between", DEEDS)


def test_what_is_undone_at_the_end():
    assert_undone("clear", DEEDS | AT_THE_END)


def test_nothing_is_undone_in_a_process_that_is_no_child_of_the_pool():
    deed = {"another mask of files": ("os.umask(0o777)", "os.umask(0) == 0o777")}

    assert_undone("clear", deed, begin=BEGIN.replace("LEFTOVERS.begin()\n", ""))
