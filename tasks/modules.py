"""Importing every file of a package of task types or workflows; what is wrong with each is said in one line."""

import importlib
import pkgutil
import traceback
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import TaskError

EXIT_STATUS = 2
"""With which every process and command ends that needs them."""
ADVICE = "mend or remove the file, or install what it imports"


class BrokenFiles(TaskError):
    """Files of task types or workflows that cannot be imported: nothing that needs them may start with the others."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


def import_all(package_name: str) -> None:
    """Import the modules of a package, but for those that begin with _. Raises BrokenFiles that names all bad ones."""
    package = importlib.import_module(package_name)
    faults: list[str] = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package_name}.{module.name}"
        try:
            importlib.import_module(name)
        except BrokenFiles as error:
            faults += error.faults
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a file may raise anything; all of it is told)
            faults.append(_told(name, [Path(place) for place in package.__path__], error))
    if faults:
        raise BrokenFiles(faults)


def _told(name: str, places: Sequence[Path], error: BaseException) -> str:
    said = " ".join(str(error).split()) or "no reason given"
    return f"{name} cannot be imported ({_where(places, error)}): {type(error).__name__}: {said[:300]}; {ADVICE}"


def _where(places: Sequence[Path], error: BaseException) -> str:
    """The last line of a file of the package that was run; of a file that Python cannot read, the line it names."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}, line {error.lineno}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).parent in places]
    return f"{_short(frames[-1].filename)}, line {frames[-1].lineno}" if frames else "before its first line"


def _short(filename: str) -> str:
    path = Path(filename)
    here = Path(__file__).parents[1]
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
