"""`python -m app.embedded`: check, prepare, and run everything until Ctrl-C or SIGTERM."""

import os
import sys
from contextlib import suppress

from supervisor.medusa.asyncore_25 import ExitNow

from app.embedded import credentials as secrets
from app.embedded import postgres, preflight, supervisor_config
from app.embedded.account import Account, account_for, check_reachable
from app.embedded.brokers import BROKERS
from app.embedded.console import Console, say
from app.embedded.errors import CannotStart
from app.embedded.programs import Program, program_table
from app.embedded.reload import Reload
from app.embedded.settings import EmbeddedSettings, load, readable
from app.embedded.startup import Startup
from app.embedded.supervisor import EmbeddedSupervisor, Options

STOP_SECONDS = 12.0  # after the grace period: a worker needs ten at most, and the stores end in the rest


def main() -> int:
    """Run the embedded mode; return the exit status."""
    try:
        settings = load(os.environ)
        preflight.prepare_directories(settings)
        preflight.check_ownership(settings)
        with preflight.take_lock(settings):
            return _run(settings)
    except CannotStart as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(settings: EmbeddedSettings) -> int:
    os.umask(0o077)  # logs that are put aside and begun anew, and whatever else the programs write
    account = account_for(postgres.data_dir(settings)) if settings.database_url is None else None
    credentials = secrets.prepare(settings)
    programs = program_table(settings, credentials, account)
    preflight.check_ports(program.port for program in programs if program.port)
    console = Console(settings, credentials)
    _prepare_stores(settings, credentials, account)
    return _supervise(settings, credentials, programs, console)


def _prepare_stores(settings: EmbeddedSettings, credentials: secrets.Credentials, account: Account | None) -> None:
    """Make the files of the embedded stores that this start runs."""
    if settings.database_url is None:
        if account is not None:
            check_reachable(account, postgres.programs() / "postgres", settings.var_dir)
        if postgres.prepare(settings, credentials, account):
            say(f"Made {readable(postgres.data_dir(settings))}")
    if settings.broker_url is None:
        BROKERS[settings.broker].write_config(settings, credentials)


def _supervise(
    settings: EmbeddedSettings,
    credentials: secrets.Credentials,
    programs: tuple[Program, ...],
    console: Console,
) -> int:
    options = Options({program.name: program for program in programs})
    options.realize(["-c", supervisor_config.write(settings, programs)])
    options.first, options.test = True, False
    supervisor = EmbeddedSupervisor(
        options,
        on_event=console.on_event,
        say=console.say,
        stop_seconds=settings.shutdown_grace_seconds + STOP_SECONDS,
    )
    supervisor.start_up = Startup(
        settings=settings, credentials=credentials, programs=programs, supervisor=supervisor, console=console
    ).steps()
    if settings.reload:
        supervisor.reload = Reload(settings=settings, supervisor=supervisor, console=console).steps()
    with suppress(ExitNow):
        supervisor.main()
    options.close_logger()
    return supervisor.exit_status


if __name__ == "__main__":
    sys.exit(main())
