"""Artifacts: files that a handler reads and keeps, whoever stores them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A stored file: its id, and what is known of its content."""

    id: UUID
    name: str
    media_type: str
    size: int  # bytes
    sha256: str  # hexadecimal


class Artifacts(Protocol):
    """Files of the task's owner. Every method raises PermanentError for an artifact that is not there or not theirs."""

    def info(self, artifact_id: UUID) -> Artifact:
        """What is known of an artifact."""

    def open(self, artifact_id: UUID) -> AbstractContextManager[BinaryIO]:
        """Its content, as a stream."""

    def local_path(self, artifact_id: UUID) -> AbstractContextManager[Path]:
        """Its content as a file that an engine can open by path; gone when the context ends."""

    def save(self, name: str, media_type: str, content: BinaryIO | bytes) -> Artifact:
        """Keep a file; the same task saving the same name again replaces it, so attempts leave one."""

    def delete(self, artifact_id: UUID) -> None:
        """Remove it."""
