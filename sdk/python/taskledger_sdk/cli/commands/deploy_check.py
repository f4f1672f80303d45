"""`tledger deploy-check`: what the task types of this environment, as a new release, would break in a service."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import click

from taskledger_sdk import packages
from taskledger_sdk.cli.failures import Failed, explained
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.errors import RequestFailed
from taskledger_sdk.http.transport import Call
from taskledger_sdk.registry import TaskType, load_types

FOUND, COULD_NOT_LOOK = 1, 2
SECONDS = 300.0  # a check of a large installation takes some
ADVICE = (
    "To do: let the new schema take what was accepted before; or give the type an upgrade from that schema; or wait "
    "until these are done, or cancel them. docs/how-to/change-a-payload.md has the ways."
)
PLURALS = {
    "task": "tasks", "schedule": "schedules", "trigger": "triggers", "workflow": "workflows", "run": "runs",
}  # fmt: skip


@click.command()
@click.option("--tasks", "named", multiple=True, metavar="PACKAGE", help="A package with task types; may be repeated.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Look at these types only; * at the end: any ending. May be repeated."
)
@calls_the_api
def deploy_check(session: Session, *, named: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Tell what a new release of task types would break, before it is deployed. For admins.

    Run it where the new release is installed. The types of its packages (--tasks, TASK_PACKAGES, and what installed
    packages name) are held against the tasks, schedules, triggers, workflows and runs that the service has: which of
    them the new payload schemas refuse, and which have no type any more.

    Exit status: 0 nothing; 1 something would break; 2 it could not look.
    """
    types = _types(named)
    try:
        report = session.api.send(Call(method="POST", path="/deploy-check", body=_body(types, only), seconds=SECONDS))
        url = session.connection.url
    except RequestFailed as error:
        _could_not_look(explained(error))
    except Failed as error:
        _could_not_look(error.message)
    if session.out.as_json:
        session.out.document(report)
    else:
        _show(session, report, url, types)
    if not report["clean"]:
        raise click.exceptions.Exit(FOUND)


def _types(named: Iterable[str]) -> Mapping[str, TaskType]:
    """The types of the packages here. Raises Failed where one cannot be imported, or there are none."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    wanted = dict.fromkeys([*named, *packages.named(os.environ.get("TASK_PACKAGES", ""))])
    packages.use(*wanted)
    try:
        types = load_types()
    except packages.BrokenFiles as error:
        _could_not_look(str(error))
    if not types:
        _could_not_look("There are no task types here: name their packages with --tasks, or in TASK_PACKAGES.")
    return types


def _body(types: Mapping[str, TaskType], only: tuple[str, ...]) -> dict[str, Any]:
    said = {name: {"schema": kind.payload.json_schema(), "upgrade": list(kind.upgrade)} for name, kind in types.items()}
    return {"types": said, "only": list(only)}


def _could_not_look(why: str) -> NoReturn:
    raise Failed(f"The release was not checked. {why}", exit_status=COULD_NOT_LOOK)


def _show(session: Session, report: Mapping[str, Any], url: str, types: Mapping[str, TaskType]) -> None:
    out, checked = session.out, report["checked"]
    looked_at = ", ".join(_counted(checked[kind], kind) for kind in PLURALS if checked.get(kind))
    unchanged = report["unchanged"]
    out.text(
        f"{_counted(len(types), 'task type')} of this release against {url}: "
        f"{looked_at or 'nothing had to be'} looked at, "
        f"{_counted(unchanged, 'task')} {'has' if unchanged == 1 else 'have'} the same schema."
    )
    for finding in report["findings"]:
        out.heading(_headline(finding))
        for path in finding["paths"]:
            out.text(f"  {path['path']}: {path['message']} ({path['count']:,})")
        for sample in finding["samples"]:
            out.text(f"  such as {' '.join(filter(None, (sample['id'], sample['name'])))}")
    if report["findings"]:
        out.heading("The release would break these.")
        out.text(ADVICE)
    for line in _remarks(report):
        out.note(line)


def _headline(finding: Mapping[str, Any]) -> str:
    counted = f"{'about ' if finding['is_estimate'] else ''}{_counted(finding['count'], finding['kind'])}"
    if finding["problem"] == "gone":
        return f"{finding['type']} is gone, and {counted} {'needs' if finding['count'] == 1 else 'need'} it"
    under = f", accepted under {finding['schema_hash']}" if finding["schema_hash"] else ""
    return f"{finding['type']} refuses {counted}{under}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what if count == 1 else PLURALS.get(what, f'{what}s')}"


def _remarks(report: Mapping[str, Any]) -> Iterable[str]:
    for each in report["upgraded"]:
        have = "has" if each["count"] == 1 else "have"
        counted = _counted(each["count"], "task")
        yield f"{counted} of {each['type']} {have} an upgrade from {each['schema_hash']}; nobody tried it."
    for each in report["sampled"]:
        what = PLURALS[each["kind"]]
        yield f"Of {each['of']:,} {what} of {each['type']}, {each['checked']:,} were looked at; counts are estimates."
    for name, count in report["unreadable"].items():
        yield f"{count:,} payloads of {name} could not be read: the service has no key for them."
    if report["left_out"]:
        yield f"There are {report['left_out']} more findings."
