"""Content on its way into the store: measured as it passes, and stopped when it is too much. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from app.errors import TaskledgerError

CHUNK_BYTES = 256 * 1024


class TooLarge(TaskledgerError):
    """The file is larger than ARTIFACT_MAX_BYTES allows."""

    def __init__(self, most: int) -> None:
        super().__init__(f"The file is larger than {most} bytes, the most that is accepted (ARTIFACT_MAX_BYTES).")
        self.most = most


class Measured:
    """Passes chunks on; afterwards `size` (bytes) and `sha256` say what has passed. Raises TooLarge past `most`."""

    def __init__(self, chunks: Iterable[bytes], *, most: int) -> None:
        self._chunks = chunks
        self._most = most
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._most:
                raise TooLarge(self._most)
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
