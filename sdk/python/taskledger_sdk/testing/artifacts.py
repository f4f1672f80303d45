"""Artifacts in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from uuid import UUID, uuid4

from taskledger_sdk.artifacts import Artifact
from taskledger_sdk.errors import PermanentError


class MemoryArtifacts:
    """Files of the task's owner, as a handler has them; `files` holds each with its content."""

    def __init__(self) -> None:
        self.files: dict[UUID, tuple[Artifact, bytes]] = {}

    def info(self, artifact_id: UUID) -> Artifact:
        """What is known of an artifact."""
        return self._file(artifact_id)[0]

    @contextmanager
    def open(self, artifact_id: UUID) -> Iterator[BinaryIO]:
        """Its content, as a stream."""
        yield io.BytesIO(self._file(artifact_id)[1])

    @contextmanager
    def local_path(self, artifact_id: UUID) -> Iterator[Path]:
        """Its content as a file."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "content"
            path.write_bytes(self._file(artifact_id)[1])
            yield path

    def save(self, name: str, media_type: str, content: BinaryIO | bytes) -> Artifact:
        """Keep a file; the same name again replaces the first."""
        data = content if isinstance(content, bytes) else content.read()
        same = next((made.id for made, _ in self.files.values() if made.name == name), uuid4())
        made = Artifact(
            id=same, name=name, media_type=media_type, size=len(data), sha256=hashlib.sha256(data).hexdigest()
        )
        self.files[made.id] = (made, data)
        return made

    def delete(self, artifact_id: UUID) -> None:
        """Remove it."""
        self._file(artifact_id)
        del self.files[artifact_id]

    def content(self, name: str) -> bytes:
        """The content of the file of this name, for the test to look at. Raises KeyError, naming what there is."""
        for made, data in self.files.values():
            if made.name == name:
                return data
        known = ", ".join(made.name for made, _ in self.files.values()) or "nothing"
        raise KeyError(f"no artifact is called {name!r}; saved was {known}")

    def _file(self, artifact_id: UUID) -> tuple[Artifact, bytes]:
        if artifact_id not in self.files:
            raise PermanentError(f"there is no artifact {artifact_id}")
        return self.files[artifact_id]
