"""`celery -A proj ledger`: Celery finds it by the entry point group `celery.commands`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from celery.bin.base import LOG_LEVEL, CeleryCommand, CeleryOption
from celery.utils.nodenames import default_nodename, host_format

from taskledger_sdk.celery.worker.options import WorkerOptions, autoscale_of, default_concurrency
from taskledger_sdk.celery.worker.refusals import POOLS

F = TypeVar("F", bound=Callable[..., Any])


def _option(*names: str, **said: Any) -> Callable[[F], F]:
    decorator: Callable[[F], F] = click.option(*names, cls=CeleryOption, help_group="Worker Options", **said)
    return decorator


@click.command(cls=CeleryCommand, context_settings={"allow_extra_args": False})
@click.pass_context
@_option("-c", "--concurrency", type=click.IntRange(1), help="Tasks that run at once; as many as processors by itself.")
@_option("-P", "--pool", default=None, help=f"One of {', '.join(POOLS)}; prefork by itself, or worker_pool.")
@_option("-Q", "--queues", default=None, help="Only tasks that go to these queues, separated by commas.")
@_option("-X", "--exclude-queues", default=None, help="No tasks that go to these queues.")
@_option("--autoscale", default=None, metavar="<most>,<least>", help="So many children, as work comes and goes.")
@_option("-n", "--hostname", default=None, help="Name of this worker, such as worker1@%h.")
@_option("-l", "--loglevel", default="WARNING", type=LOG_LEVEL, help="Logging level.")
@_option("-f", "--logfile", default=None, help="Log to this file; to stderr by itself.")
@_option("--time-limit", type=float, default=None, help="Hard limit in seconds, of tasks that have none.")
@_option("--soft-time-limit", type=float, default=None, help="Soft limit in seconds, of tasks that have none.")
@_option("--max-tasks-per-child", type=int, default=None, help="Tasks after which a child is replaced.")
@_option("--max-memory-per-child", type=int, default=None, help="KiB after which a child is replaced.")
@_option("--declare-only", is_flag=True, help="Declare the tasks, for which an admin's key is needed, and end.")
@_option("--retire-after", type=float, default=86_400.0, metavar="<seconds>", help="Task types that are gone.")
def ledger(ctx: click.Context, /, **said: Any) -> None:
    """Run the tasks of this application from a Taskledger service, which keeps, retries and shows them."""
    from taskledger_sdk.celery.worker import starting
    from taskledger_sdk.celery.worker.refusals import RefusedApplication

    app = ctx.obj.app
    loglevel, logfile = said.pop("loglevel"), said.pop("logfile")
    declare_only = said.pop("declare_only")
    options = _options(app, said)
    try:
        if declare_only:
            count = starting.declare_only(app, options)
            click.echo(f"{count} task types were declared or changed.")
            return
        exit_code = starting.run(app, options, loglevel=loglevel, logfile=logfile)
    except (RefusedApplication, starting.CannotStart) as error:
        raise click.ClickException(str(error)) from None
    ctx.exit(exit_code)


def _options(app: Any, said: dict[str, Any]) -> WorkerOptions:
    """Options, then the application's own configuration."""
    smallest = None
    concurrency = said["concurrency"] or _number(app.conf.worker_concurrency) or default_concurrency()
    if said["autoscale"]:
        try:
            concurrency, smallest = autoscale_of(said["autoscale"])
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    pool = said["pool"] or _pool_of(app.conf.worker_pool)
    if pool == "solo":
        concurrency = 1
    if smallest is not None and pool not in ("prefork", "processes"):
        raise click.BadParameter(f"--autoscale goes with --pool prefork: a pool of {pool} keeps its size")
    return WorkerOptions(
        hostname=host_format(default_nodename(said["hostname"])),
        concurrency=concurrency,
        pool=pool,
        queues=_words(said["queues"]),
        excluded=_words(said["exclude_queues"]) or (),
        smallest=smallest,
        time_limit=said["time_limit"] or app.conf.task_time_limit,
        soft_time_limit=said["soft_time_limit"] or app.conf.task_soft_time_limit,
        max_tasks_per_child=said["max_tasks_per_child"],
        max_memory_per_child=said["max_memory_per_child"],
        retire_after_seconds=said["retire_after"],
    )


def _number(said: Any) -> int | None:
    return int(said) if str(said or "").isdecimal() else None


def _pool_of(said: Any) -> str:
    return str(said or "prefork")


def _words(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(word.strip() for word in text.split(",") if word.strip())
