"""Content on its way into the store: measured as it passes, and stopped when it is too much. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from app.errors import ProblemError

CHUNK_BYTES = 256 * 1024


class TooLarge(ProblemError):
    """The file is larger than ARTIFACT_MAX_BYTES allows."""

    status, code = 413, "body_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"The file is larger than {most} bytes, the most that is accepted (ARTIFACT_MAX_BYTES).")
        self.most = most


class StorageFull(ProblemError):
    """The account has no room for the file: its quota for stored files is reached."""

    status, code = 413, "storage_quota_reached"

    def __init__(self, *, used: int, allowed: int, size: int | None = None) -> None:
        what = "The file does" if size is None else f"The file has {size} bytes; it does"
        super().__init__(
            f"{what} not fit: {used} of the {allowed} bytes that your account may store are used, so "
            f"{max(allowed - used, 0)} are free. Delete files (DELETE /api/v1/artifacts/ID), or ask an admin for a "
            "larger quota (max_stored_bytes of the account)."
        )
        self.errors = {"file": [str(self)]}
        self.used, self.allowed = used, allowed


class Measured:
    """Passes chunks on; afterwards `size` (bytes) and `sha256` say what has passed.

    Raises TooLarge past `most`, and StorageFull past what is free of `room`: (bytes used, bytes allowed).
    """

    def __init__(self, chunks: Iterable[bytes], *, most: int, room: tuple[int, int] | None = None) -> None:
        self._chunks = chunks
        self._most = most
        self._room = room
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._most:
                raise TooLarge(self._most)
            if self._room is not None and self._room[0] + self.size > self._room[1]:
                raise StorageFull(used=self._room[0], allowed=self._room[1])
            self._hash.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """Hexadecimal."""
        return self._hash.hexdigest()


def chunks_of(content: BinaryIO | bytes) -> Iterator[bytes]:
    """The content in pieces."""
    if isinstance(content, bytes):
        yield content
        return
    while chunk := content.read(CHUNK_BYTES):
        yield chunk
