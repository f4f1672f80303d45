"""Running data_processing on files that a test writes, without a worker."""

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from taskledger_sdk.registry import get_type
from tests.support.fake_task import FakeTask

COUNT = {"operation": "aggregate", "measures": [{"name": "n", "function": "count"}]}


class Done:
    """What a task made: its result, and the file."""

    def __init__(self, result: dict[str, Any], content: bytes) -> None:
        self.result = result
        self.content = content

    @property
    def rows(self) -> list[list[str]]:
        """Of a CSV file: its cells, the header first."""
        return list(csv.reader(io.StringIO(self.content.decode(), newline=""), strict=True))

    @property
    def lines(self) -> list[str]:
        """Of JSON lines: each line."""
        return self.content.decode().split("\n")[:-1]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Of JSON lines: each object, its numbers as texts in [ ]."""
        return [json.loads(line, parse_float=_bare, parse_int=_bare) for line in self.lines]


def _bare(text: str) -> str:
    return f"[{text}]"


def process(files: dict[str, bytes | str], **payload: Any) -> Done:
    """Run the operation over files; the first is the dataset. Raises what the handler raises."""
    kind = get_type("data_processing")
    with TemporaryDirectory(prefix="tables-test-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content if isinstance(content, bytes) else content.encode())
        task = FakeTask(settings={"DATA_DIR": folder})
        result = kind.handler(task, kind.payload.load({"dataset": next(iter(files)), **payload}))
        return Done(result, task.artifacts.files[UUID(result["artifact_id"])][1])
