"""A TaskContext for tests of handlers, with artifacts kept in memory."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from taskledger_sdk.artifacts import Artifact
from taskledger_sdk.errors import PermanentError

TASK_ID = UUID("018f3c5e-7d2a-7000-8000-0123456789ab")


class FakeArtifacts:
    """Files in memory; the same name saved again replaces the first."""

    def __init__(self) -> None:
        self.files: dict[UUID, tuple[Artifact, bytes]] = {}

    def info(self, artifact_id: UUID) -> Artifact:
        return self._file(artifact_id)[0]

    @contextmanager
    def open(self, artifact_id: UUID) -> Iterator[BinaryIO]:
        yield io.BytesIO(self._file(artifact_id)[1])

    @contextmanager
    def local_path(self, artifact_id: UUID) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "content"
            path.write_bytes(self._file(artifact_id)[1])
            yield path

    def save(self, name: str, media_type: str, content: BinaryIO | bytes) -> Artifact:
        data = content if isinstance(content, bytes) else content.read()
        same = next((made.id for made, _ in self.files.values() if made.name == name), uuid4())
        made = Artifact(
            id=same, name=name, media_type=media_type, size=len(data), sha256=hashlib.sha256(data).hexdigest()
        )
        self.files[made.id] = (made, data)
        return made

    def delete(self, artifact_id: UUID) -> None:
        self._file(artifact_id)
        del self.files[artifact_id]

    def _file(self, artifact_id: UUID) -> tuple[Artifact, bytes]:
        if artifact_id not in self.files:
            raise PermanentError(f"there is no artifact {artifact_id}")
        return self.files[artifact_id]


class FakeLedger:
    """Notes in memory."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def noted(self, key: str) -> Any:
        return self.notes.get(key)

    def note(self, key: str, value: Any) -> None:
        self.notes.setdefault(key, value)


@dataclass(kw_only=True)
class FakeTask:
    """An attempt that only remembers what its handler says."""

    settings: Mapping[str, str] = field(default_factory=dict)
    id: UUID = TASK_ID
    type: str = "test"
    attempt: int = 1
    deadline: datetime = datetime(2100, 1, 1, tzinfo=UTC)
    artifacts: FakeArtifacts = field(default_factory=FakeArtifacts)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    reported: list[tuple[float, str]] = field(default_factory=list)
    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    submitted: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    def submit(self, type_name: str, payload: Any, /, **options: Any) -> UUID:
        self.submitted.append((type_name, payload, options))
        return uuid4()

    def progress(self, fraction: float, message: str = "") -> None:
        self.reported.append((fraction, message))

    def log(self, message: str, **fields: Any) -> None:
        self.lines.append((message, fields))

    def check_cancelled(self) -> None:
        pass
