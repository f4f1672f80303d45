"""Names of classes and fields that the languages accept, each once."""

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

CLASSES_OF_PYTHON = frozenset(
    {"Any", "ClassVar", "Decimal", "JSON_NAME", "Literal", "Mapping", "TypeAlias", "TypedPayload", "UNSET", "UUID"}
    | {"Unset", "ValuePayload"}
    | {name for name in dir(builtins) if name[:1].isupper()}
)
"""What a generated module imports, or finds in every module."""
CLASSES_OF_TYPESCRIPT = frozenset({"Array", "Record", "Object", "String", "Number", "Boolean", "TaskPayloads"})
NO_FIELD_NAMES = frozenset(
    {*keyword.kwlist, *CLASSES_OF_PYTHON, "SCHEMA_HASH", "TASK_TYPE"}
    | {"bool", "dataclass", "dt", "field", "float", "int", "list", "str"}
)
"""A field that was called so would hide what the fields after it are written with."""
WORD = re.compile(r"[A-Za-z0-9]+")


class Names:
    """Names that are taken, and those to be."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, name: str) -> str:
        """The name, or the name with the first number from 2 that makes it a new one."""
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name}{number}"
        self._taken.add(free)
        return free


def class_name(*words: str) -> str:
    """In CamelCase: `acme.count_words` becomes AcmeCountWords, and what begins with a digit gets a letter before it."""
    name = "".join(part[0].upper() + part[1:] for word in words for part in WORD.findall(word)) or "Unnamed"
    return f"T{name}" if name[0].isdigit() else name


def field_names(json_names: Iterable[str]) -> list[str]:
    """Of the fields of one class, in their order: as they are where Python allows it, else near to that."""
    json_names = list(json_names)
    names = Names()
    found = {name: names.take(name) for name in json_names if _identifier(name) == name}
    for name in json_names:
        if name not in found:
            found[name] = names.take(_identifier(name))
    return [found[name] for name in json_names]


def _identifier(name: str) -> str:
    # Python reads identifiers in this form, and changes names of a class that begin with two underscores.
    plain = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name)).lstrip("_")
    if not plain.isidentifier():
        plain = f"field_{plain}" if f"field_{plain}".isidentifier() else "field_"
    return f"{plain}_" if plain in NO_FIELD_NAMES else plain
