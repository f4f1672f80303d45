"""NAME_FILE beside NAME: a value that lies in a file, as container platforms hand out secrets."""

from collections.abc import Iterable, Mapping
from pathlib import Path

SUFFIX = "_FILE"
LARGEST_BYTES = 65_536  # larger ones are no setting


def with_files(environ: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The environment with the content of NAME_FILE for each of these names, and what is wrong with any of them.

    Spaces and line ends around the content are dropped; an empty variable counts as unset.
    """
    values, faults = dict(environ), []
    for name in names:
        path = environ.get(name + SUFFIX, "").strip()
        if not path:
            continue
        if environ.get(name, "").strip():
            faults.append(f"{name} and {name}{SUFFIX} are both set: keep one of them")
            continue
        try:
            values[name] = _content(Path(path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            faults.append(f"{name}{SUFFIX} is refused: {path} cannot be read ({reason})")
    return values, faults


def value_of(environ: Mapping[str, str], name: str) -> str | None:
    """One value, from the variable or from its file; None where there is neither, or the file cannot be read."""
    return with_files(environ, [name])[0].get(name)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it has more than {LARGEST_BYTES} bytes")
    return content.decode("utf-8").strip()
