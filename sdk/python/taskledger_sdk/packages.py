"""Packages of task types, workflows and schedules: which are used, and importing every module of them, once."""

import importlib
import importlib.util
import pkgutil
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

from taskledger_sdk.errors import TaskError

EXIT_STATUS = 2
"""With which every process and command ends that needs them."""
ADVICE = "mend or remove the file, or install what it imports"

GROUP = "taskledger.tasks"
"""The entry point group in which an installed package names the module with its task types."""

_packages: tuple[str, ...] = ()
_loaded = False
_loading = threading.RLock()


class BrokenFiles(TaskError):
    """Modules that cannot be imported: nothing that needs them may start with the others."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


def named(setting: str) -> list[str]:
    """The import names of TASK_PACKAGES, parted by commas, then those of installed packages; each once, in order."""
    given = (name.strip() for name in setting.split(","))
    installed = sorted(each.value.partition(":")[0] for each in metadata.entry_points(group=GROUP))
    return list(dict.fromkeys([*filter(None, given), *installed]))


def use(*packages: str) -> None:
    """Say in which packages (import names) task types, workflows and schedules are; replaces what was said before."""
    global _packages, _loaded
    with _loading:
        _packages, _loaded = packages, False


def used() -> tuple[str, ...]:
    """The packages that are used."""
    return _packages


def package_of(module: str) -> str | None:
    """The package, of those that are used, that a module belongs to; None for any other, such as a library."""
    return max((name for name in _packages if f"{module}.".startswith(f"{name}.")), key=len, default=None)


def load() -> None:
    """Import every module of the packages that are used; the first call does. Raises BrokenFiles, naming all bad ones.

    What they declare registers itself.
    """
    global _loaded
    if _loaded:
        return
    with _loading:
        faults = [fault for name in _packages for fault in _faults_of(name)]
        if faults:
            raise BrokenFiles(faults)
        _loaded = True


def is_module_of_types(name: str) -> bool:
    """Whether a module of a package is imported: not a private one, and no test."""
    return not name.startswith(("_", "test")) and name != "conftest"


def _faults_of(name: str) -> Iterator[str]:
    """Import a module and, where it is a package, all in it; what is wrong with each is said in one line."""
    try:
        module = importlib.import_module(name)
    except BrokenFiles as error:
        yield from error.faults
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a file may raise anything; all of it is told)
        yield _told(name, error)
    else:
        for below in pkgutil.iter_modules(_places(module)):
            if is_module_of_types(below.name):
                yield from _faults_of(f"{name}.{below.name}")


def _places(module: ModuleType) -> list[str]:
    return list(getattr(module, "__path__", ()))


def _told(name: str, error: BaseException) -> str:
    said = " ".join(str(error).split()) or "no reason given"
    return f"{name} cannot be imported ({_where(name, error)}): {type(error).__name__}: {said[:300]}; {ADVICE}"


def _where(name: str, error: BaseException) -> str:
    """The last line of the package that was run; of a file that Python cannot read, the line it names."""
    root = _root(name)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename, root)}, line {error.lineno}"
    parent = sys.modules.get(name.rpartition(".")[0])
    folders = [Path(place) for place in _places(parent)] if parent else []
    frames = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if any(_is_of(Path(each.filename), folder) for folder in (root, *folders) if folder)
    ]
    if frames:
        return f"{_short(frames[-1].filename, root)}, line {frames[-1].lineno}"
    return "before its first line" if root else "there is none on Python's path"


def _is_of(path: Path, folder: Path) -> bool:
    """Whether a file belongs to a package; libraries that are installed inside of its folder do not."""
    return path.is_relative_to(folder) and "site-packages" not in path.relative_to(folder).parts


def _root(name: str) -> Path | None:
    """The folder of the top-level package that a module belongs to; of a single module, the file; None if unknown."""
    top = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None:
        return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    place = Path(spec.origin)
    return place.parent if spec.submodule_search_locations else place


def _short(filename: str, root: Path | None) -> str:
    """A path from the folder that holds the top-level package: as people see it in their repository."""
    path = Path(filename)
    return str(path.relative_to(root.parent)) if root is not None and path.is_relative_to(root.parent) else filename
