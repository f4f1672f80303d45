"""Which packages of task types this process uses, by its settings; whoever starts calls it first."""

import dataclasses
import sys
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from app.config import Settings, words
from app.config.task_packages import ALL
from app.messaging import keep_by
from app.services.remote.known import TYPES
from app.services.remote.line import LedgerLine
from taskledger_sdk import packages, registry
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.packages import BrokenFiles
from taskledger_sdk.registry import TaskType, load_types
from taskledger_sdk.workflows import declaring
from taskledger_sdk.workflows.declaring import load_workflows
from tasks import BUILT_IN, task_packages

ONLY_OURS = {"flower", "sink"}
"""Commands that run no handler and check no payload of anybody's: they import only what the service brings."""
OTHERS = {"worker", "beat", "setup"}
"""Commands that need all types; an argument of theirs may be called as one of the above, such as a node `flower`."""
NEEDED = {"compensation"}
"""Of our types, those that the service submits for accounts whatever is offered."""


_in_use: tuple[list[str], str] | None = None
"""What this process has imported. Celery reads its configuration, and so calls `use` again, when the API publishes for
the first time: other threads look types up at that moment."""


def use(settings: Settings, arguments: Sequence[str] | None = None) -> None:
    """Import the types and workflows of the service and of the configured packages, and ask for remote types, too.

    Once in a process: the same again does nothing. Raises BrokenFiles.
    """
    global _in_use
    theirs: list[str] = []
    given = set((sys.argv if arguments is None else arguments)[1:])
    if OTHERS & given or not ONLY_OURS & given:
        theirs = task_packages.named(settings.task_packages)
    wanted = theirs, settings.builtin_task_types
    if wanted != _in_use:
        _in_use = None  # for as long as it is not known whether they can be used
        _use(theirs, settings.builtin_task_types)
        _in_use = wanted


def _use(theirs: list[str], builtin_task_types: str) -> None:
    registry.look_elsewhere(None)  # until what the code says of itself is known: that takes no database
    keep_by(LedgerLine())
    if faults := task_packages.faults(theirs):
        raise BrokenFiles(faults)
    packages.use(*BUILT_IN, *theirs)
    load_types()
    if builtin_task_types != ALL:
        _offer_only(words(builtin_task_types))
    faults = _faulty_workflows()
    registry.look_elsewhere(TYPES)
    if faults and (faults := _faulty_with_remote_types(faults)):
        raise BrokenFiles(faults)


def _faulty_with_remote_types(faults: list[str]) -> list[str]:
    """What is still wrong when remote types are known, too; what was wrong before where they cannot be asked for."""
    try:
        return _faulty_workflows()
    except sa.exc.SQLAlchemyError as error:
        why = str(error.__cause__ or error).strip()
        return [*faults, f"types that the code does not have may be remote ones, which could not be read: {why}"]


def _offer_only(names: Collection[str]) -> None:
    """Keep the service's other types to itself, as internal ones. Raises BrokenFiles for a name that is unknown."""
    ours = {kind.name: kind for kind in load_types().values() if _is_ours(kind)}
    if unknown := sorted(set(names) - set(ours)):
        known = ", ".join(name for name, kind in ours.items() if not kind.internal)
        raise BrokenFiles([f"BUILTIN_TASK_TYPES names {', '.join(unknown)}; the service has {known}"])
    for name in set(ours) - set(names) - NEEDED:
        ours[name] = dataclasses.replace(ours[name], internal=True)
        registry.register(ours[name])

    for workflow in load_workflows().values():
        types = {step.get("type") for step in workflow.written["steps"].values()}  # None: it waits, or is another one
        if workflow.module.startswith("tasks.") and any(ours[name].internal for name in types & set(ours)):
            declaring.withdraw(workflow.name)


def _faulty_workflows() -> list[str]:
    """What is wrong with definitions: files are read when they are imported, types are known only afterwards."""
    faults = []
    for workflow in load_workflows().values():
        try:
            _ = workflow.definition
        except BadDeclaration as error:
            faults.append(f"{workflow.module}: {error}; mend or remove it")
    return faults


def _is_ours(kind: TaskType) -> bool:
    return kind.handler.__module__.partition(".")[0] == "tasks"
