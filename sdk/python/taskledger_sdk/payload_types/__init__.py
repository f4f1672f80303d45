"""From the JSON Schemas of an installation's payloads to source that type checkers read. Pure.

They are read into a model (`reading`), which is then written down (`python`, `typescript`).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from taskledger_sdk.payload_types.names import CLASSES_OF_PYTHON, CLASSES_OF_TYPESCRIPT
from taskledger_sdk.payload_types.python import python_source
from taskledger_sdk.payload_types.reading import payloads_of
from taskledger_sdk.payload_types.typescript import typescript_source

__all__ = ["source"]


def source(task_types: Iterable[Mapping[str, Any]], language: Literal["python", "typescript"]) -> str:
    """The text of a module with the payloads of these task types, as GET /task-types shows them.

    The same types make the same text, in whatever order they come.
    """
    if language == "python":
        return python_source(payloads_of(task_types, reserved=CLASSES_OF_PYTHON))
    return typescript_source(payloads_of(task_types, reserved=CLASSES_OF_TYPESCRIPT))
