"""The folder of a backup: a manifest, the database's dump, and the content of the artifacts."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from app.errors import TaskledgerError

FORMAT = 1
MANIFEST, DUMP, ARTIFACTS = "manifest.json", "database.dump", "artifacts"
CHUNK_BYTES = 1_048_576


class BadBackup(TaskledgerError):
    """The folder holds no backup, or one that is incomplete or damaged."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup holds; the database is as it was at `taken_at` (UTC), to the transaction."""

    taken_at: str
    revision: str
    server_version: str
    dump_sha256: str
    tasks: dict[str, int]
    artifacts: int
    artifacts_missing: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it into a folder, last of all: a folder without it is no backup."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a folder, checked against its dump. Raises BadBackup."""
        try:
            manifest = cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise BadBackup(f"{folder} holds no {MANIFEST}: it is no backup, or one that did not finish") from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise BadBackup(f"{folder / MANIFEST} cannot be read: {error}") from None
        if manifest.format != FORMAT:
            raise BadBackup(f"{folder} has format {manifest.format}; this version reads {FORMAT}")
        if not (folder / DUMP).exists() or sha256_of(folder / DUMP) != manifest.dump_sha256:
            raise BadBackup(f"{folder / DUMP} is not what was written: its SHA-256 differs from the manifest's")
        return manifest


def sha256_of(path: Path) -> str:
    """Hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(folder: Path, artifact_id: UUID, content: Any) -> None:
    """Copy the content of an artifact, an open binary stream, into the folder."""
    path = folder / ARTIFACTS / str(artifact_id)
    with path.open("xb") as file:
        file.writelines(chunks_of(content))
        file.flush()
        os.fsync(file.fileno())


def kept(folder: Path) -> Iterator[tuple[UUID, Path]]:
    """The artifacts in the folder."""
    for path in sorted((folder / ARTIFACTS).glob("*")):
        yield UUID(path.name), path


def chunks_of(content: Any) -> Iterable[bytes]:
    """The content of an open binary stream, CHUNK_BYTES at a time."""
    return iter(lambda: content.read(CHUNK_BYTES), b"")
