"""Which packages of task types this process uses, by its settings; whoever starts calls it first."""

import dataclasses
import sys
from collections.abc import Collection, Sequence

from app.config import Settings, words
from app.config.task_packages import ALL
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


def use(settings: Settings, arguments: Sequence[str] | None = None) -> None:
    """Import the types and workflows of the service and of the configured packages. Raises BrokenFiles."""
    theirs: list[str] = []
    given = set((sys.argv if arguments is None else arguments)[1:])
    if OTHERS & given or not ONLY_OURS & given:
        theirs = task_packages.named(settings.task_packages)
    if faults := task_packages.faults(theirs):
        raise BrokenFiles(faults)
    packages.use(*BUILT_IN, *theirs)
    load_types()
    if settings.builtin_task_types != ALL:
        _offer_only(words(settings.builtin_task_types))
    if faults := _faulty_workflows():
        raise BrokenFiles(faults)


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
        types = {step["type"] for step in workflow.written["steps"].values()}
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
