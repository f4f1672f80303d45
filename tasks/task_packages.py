"""Packages of other people with task types: where they are named, and what no process may start with."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from taskledger_sdk import packages
from taskledger_sdk.packages import is_module_of_types

OURS = {"app", "tasks", "celeryconfig"}
"""Top-level modules of the service: whoever imports one of these names gets ours."""
named = packages.named
REMOTE = "run it as a remote worker, in a process of its own"


def faults(names: Sequence[str]) -> list[str]:
    """What is wrong with packages before any of them is imported, in one line each: where, what, and what to do."""
    return [fault for name in names for fault in _faults_of(name)]


def _faults_of(name: str) -> Iterator[str]:
    top = name.partition(".")[0]
    if top in OURS:
        yield f"{name}: the service has a package of this name itself; rename yours, or {REMOTE}"
        return
    if _spec(top) is None:
        yield (
            f"{name}: Python finds no {top}; install it into the environment of the service, or mend TASK_PACKAGES, "
            "or the entry point, that names it"
        )
        return
    for other in sorted(_top_levels_installed_with(top) & OURS):
        yield f"{name}: it brings a top-level module {other!r}, and would get the service's; rename it, or {REMOTE}"
    for path in _sources(name):
        yield from _imports_of_ours(path)


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module is; of one inside a package, the package is imported to find it."""
    try:
        return importlib.util.find_spec(name)
    except Exception:  # noqa: BLE001 (the package above may raise anything: importing it will tell)
        return None


def _top_levels_installed_with(top: str) -> set[str]:
    """Top-level modules of the distributions that a module comes from."""
    theirs = metadata.packages_distributions()
    distributions = set(theirs.get(top, ()))
    return {name for name, sources in theirs.items() if distributions & set(sources)}


def _sources(name: str) -> Iterator[Path]:
    """The files that will be imported."""
    spec = _spec(name)
    if spec is None:
        return
    if not spec.submodule_search_locations:
        if spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin)
        return
    for folder in map(Path, spec.submodule_search_locations):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder).parts
            if all(is_module_of_types(part.removesuffix(".py")) or part == "__init__.py" for part in inside):
                yield path


def _imports_of_ours(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # importing it says where
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in filter(_is_ours, _imported(node)):
                yield (
                    f"{path}, line {node.lineno}: imports {name}, which is the service's own; write task types with "
                    f"taskledger_sdk; code that means a module {name.partition('.')[0]!r} of its own: {REMOTE}"
                )


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [node.module] if node.level == 0 and node.module else []


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in OURS
