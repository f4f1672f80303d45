"""The supervisor's configuration file, written from the table of programs at each start."""

import shlex
from collections.abc import Iterable

from app.embedded.credentials import write_private
from app.embedded.programs import Program, Stage
from app.embedded.settings import EmbeddedSettings

FILE_NAME = "supervisord.conf"
RETRIES = 100
"""Failed starts in a row before the supervisor gives up; it waits 1, 2, 3 … seconds between them."""


def write(settings: EmbeddedSettings, programs: Iterable[Program]) -> str:
    """Write the file and return its path."""
    path = settings.var_dir / FILE_NAME
    sections = [_supervisord(settings)]
    sections += [_program(settings, program, place) for place, program in enumerate(programs, start=1)]
    write_private(path, "\n".join(sections))
    return str(path)


def _supervisord(settings: EmbeddedSettings) -> str:
    return _section(
        "supervisord",
        nodaemon="true",
        silent="true",
        logfile=settings.log_dir / "supervisor.log",
        logfile_maxbytes="5MB",
        logfile_backups=1,
        pidfile=settings.var_dir / "supervisor.pid",
        childlogdir=settings.log_dir,
    )


def _program(settings: EmbeddedSettings, program: Program, place: int) -> str:
    user = {} if program.user is None else {"user": program.user}
    return _section(
        f"program:{program.name}",
        command=shlex.join(program.command),
        directory=settings.home,
        priority=place,  # the highest stops first, and the next one only when it is gone
        autostart="false",  # app/embedded/startup.py starts each when what it needs is ready
        autorestart="false" if program.stage is Stage.ONCE else "true",
        startsecs=0 if program.stage is Stage.ONCE else 1,
        startretries=RETRIES,
        stopsignal=program.stop_signal,
        stopwaitsecs=program.stop_seconds,
        stopasgroup="false",  # a signal to the group kills the worker's children in the middle of a task
        killasgroup="false",
        redirect_stderr="true",
        stdout_logfile=settings.log_dir / f"{program.name}.log",
        stdout_logfile_maxbytes="5MB",
        stdout_logfile_backups=2,
        stdout_events_enabled="true",  # so that important lines reach the terminal
        **user,
    )


def _section(name: str, **options: object) -> str:
    """One section; the supervisor expands %(...)s, so that a percent sign is written twice."""
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])
