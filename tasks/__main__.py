"""`python -m tasks worker` and `python -m tasks beat`: what `celery -A tasks` runs, in less memory.

Celery's command line imports the commands of every package that adds some, which are Flower's with its web server, and
a shell with completion: 19 MB of each process and of each child. A program that runs for months needs neither.
"""

import sys

import click
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

from tasks.celery import app


@click.group()
@click.option("-q", "--quiet", is_flag=True, help="Write no banner.")
@click.pass_context
def main(context: click.Context, *, quiet: bool) -> None:
    """Run a worker, or the dispatcher, with the options that Celery gives them."""
    context.obj = CLIContext(app=app, no_color=False, workdir=None, quiet=quiet)


main.add_command(worker)
main.add_command(beat)


if __name__ == "__main__":
    sys.argv[1:1] = ["-A", "tasks"]  # `worker --detach` starts `celery` with these
    main(sys.argv[3:], prog_name="python -m tasks", auto_envvar_prefix="CELERY")
