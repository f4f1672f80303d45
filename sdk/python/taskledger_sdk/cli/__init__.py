"""The console script `tledger`: a Taskledger service from a terminal, over HTTP, from any machine."""

import os
import sys
from typing import NoReturn

import click

from taskledger_sdk import __version__
from taskledger_sdk.cli.groups import RootGroup
from taskledger_sdk.cli.options import connection_options, remember

PROGRAM = "tledger"
INTERRUPTED = 130  # as shells say of what Ctrl-C ended
COMMANDS = {
    "adopt": ("adopt", "Tell what becomes of a Celery application when the ledger is put under it."),
    "dead-letters": ("dead_letters", "List, replay and purge tasks that have FAILED."),
    "deploy-check": ("deploy_check", "Tell what a new release of task types would break, before it is deployed."),
    "events": ("events", "Follow what happens, and tell of what happened elsewhere."),
    "init": ("init", "Write a project for your task types into a new folder here."),
    "keys": ("keys", "List, make and revoke API keys."),
    "limits": ("limits", "List, set and remove admission limits; for admins."),
    "login": ("login", "Log in to a service, and keep an API key for it."),
    "logout": ("login", "Forget the API key of a profile."),
    "profiles": ("login", "List the services that you are logged in to."),
    "queues": ("queues", "List, pause and resume queues."),
    "repairs": ("repairs", "Replay many dead letters together: patched, at a rate, a canary first."),
    "runs": ("runs", "Start, follow and steer runs of workflows."),
    "schedules": ("schedules", "Store, list, pause and delete schedules."),
    "signal": ("signal", "Tell a task or a run what it waits for."),
    "tasks": ("tasks", "Submit, follow and steer tasks."),
    "triggers": ("triggers", "Create, list, pause and delete rules that start work on events."),
    "types": ("types", "List, show, pause and resume task types, or write their payloads for type checkers."),
    "whoami": ("login", "Show which service and which account commands use."),
    "why": ("why", "Tell why a task, a run or a schedule does not go on, and what to do."),
    "workflows": ("workflows", "Store, list and show workflows."),
}
"""Each command: the module of `cli/commands` that it is in, and what its help begins with."""


@click.group(PROGRAM, cls=RootGroup, own=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="taskledger-sdk", message="%(version)s")
@connection_options()
@click.pass_context
def cli(context: click.Context, url: str | None, profile: str | None, *, insecure_http: bool) -> None:
    """Use a Taskledger service from a terminal or a script.

    Log in once with `tledger login`, or set TASKLEDGER_URL and TASKLEDGER_API_KEY.

    Exit status: 0 done; 1 refused, or failed; 2 wrong usage; 3 the service cannot be reached, or cannot answer now;
    4 not logged in, or not permitted; 5 what was waited for ended, and is not COMPLETED; 124 the waiting took longer
    than --timeout; 130 Ctrl-C.
    """
    remember(context, url=url, profile=profile, insecure_http=insecure_http)


def main() -> NoReturn:
    """Run the command line, and exit. Ctrl-C and a reader that has left (`| head`) leave no traceback."""
    try:
        status = cli.main(prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        status = INTERRUPTED
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except BrokenPipeError:
        # What is left in the buffer would be written at exit, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    raise SystemExit(status if isinstance(status, int) else 0)
