"""Files of both clients: uploads and downloads piece by piece, with progress."""

import io
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, BinaryIO, TypeAlias
from uuid import UUID

import httpx2

from taskledger_sdk.client.operations import Listing, TaskId, id_of
from taskledger_sdk.client.results import Artifact
from taskledger_sdk.client.sessions import AsyncSession, Session
from taskledger_sdk.client.steps import Steps
from taskledger_sdk.client.submissions import new_id
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.calls import LARGEST_PAGE, Call

ArtifactId: TypeAlias = UUID | str | Artifact
Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
Target: TypeAlias = str | os.PathLike[str] | BinaryIO
Progress: TypeAlias = Callable[[int, int | None], None]
"""Told of the bytes so far, and of all; None: not known."""
UPLOAD_SECONDS = 120.0
PIECE = 1024 * 1024


class _Told:
    """A file whose reader is watched."""

    def __init__(self, file: IO[bytes], size: int | None, progress: Progress) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece:
            self._done += len(piece)
            self._progress(self._done, self._size)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _upload(
    source: Source, name: str | None, media_type: str | None, progress: Progress | None
) -> Iterator[Steps[Artifact]]:
    """The steps of an upload, with the file open meanwhile."""
    if isinstance(source, bytes):
        with io.BytesIO(source) as file:
            yield _uploading(file, name or "file", media_type, progress)
    elif isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as opened:
            yield _uploading(opened, name or Path(source).name, media_type, progress)
    else:
        yield _uploading(source, name or Path(str(getattr(source, "name", "file"))).name, media_type, progress)


def _uploading(file: IO[bytes], name: str, media_type: str | None, progress: Progress | None) -> Steps[Artifact]:
    media_type = media_type or guess_type(name)[0] or "application/octet-stream"
    can_go_back = file.seekable()
    start = file.tell() if can_go_back else 0
    size = None
    if can_go_back:
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)

    def parts() -> Mapping[str, Any]:
        if can_go_back:
            file.seek(start)
        return {"file": (name, file if progress is None else _Told(file, size, progress), media_type)}

    # What cannot be read a second time cannot be sent a second time.
    key = str(new_id()) if can_go_back else None
    answer = yield Call(method="POST", path="/artifacts", files=parts, idempotency_key=key, seconds=UPLOAD_SECONDS)
    return Artifact.of(answer.data)


def _content(artifact: ArtifactId) -> Call:
    return Call(method="GET", path=path_of("artifacts", id_of(artifact), "content"), headers={"Accept": "*/*"})


def _size_of(answer: httpx2.Response) -> int | None:
    said = answer.headers.get("content-length", "")
    return int(said) if said.isdigit() and "content-encoding" not in answer.headers else None


@contextmanager
def _writer(to: Target | None) -> Iterator[IO[bytes]]:
    """Where a download goes; a file appears under its name when it is whole."""
    if to is None:
        yield io.BytesIO()
    elif not isinstance(to, str | os.PathLike):
        yield to
    else:
        path = Path(to)
        # No file of `tempfile`: only its owner may read such a one, also under its last name.
        draft = path.with_name(f".{path.name}.{token_hex(4)}")
        with draft.open("xb") as file:
            try:
                yield file
                file.flush()
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise


def _get(artifact: ArtifactId) -> Steps[Artifact]:
    answer = yield Call(method="GET", path=path_of("artifacts", id_of(artifact)))
    return Artifact.of(answer.data)


def _all(task: TaskId | None) -> Listing[Artifact]:
    query = {"limit": LARGEST_PAGE, "task_id": None if task is None else id_of(task)}
    return Listing("/artifacts", query, Artifact.of)


def _delete(artifact: ArtifactId) -> Steps[None]:
    yield Call(method="DELETE", path=path_of("artifacts", id_of(artifact)))


class Artifacts:
    """`client.artifacts`: files for tasks to read, and those they made."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """Store a file: a path, bytes, or a file that is open for reading bytes. Raises RequestFailed, OSError.

        `progress` is told of the bytes sent so far, and of all; it begins again when a broken upload is repeated, as
        those of files that can be read again are.
        """
        with _upload(source, name, media_type, progress) as steps:
            return self._session.run(steps)

    def download(self, artifact: ArtifactId, to: Target | None = None, *, progress: Progress | None = None) -> bytes:
        """Read a file: into `to`, a path or a file open for writing bytes; without it, the content is returned.

        A path holds the whole file or stays as it was. With `to`, b"" is returned. Raises RequestFailed, OSError.
        """
        with _writer(to) as file, self._session.transport.stream(_content(artifact)) as answer:
            done, size = 0, _size_of(answer)
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, size)
            return file.getvalue() if to is None and isinstance(file, io.BytesIO) else b""

    def get(self, artifact: ArtifactId) -> Artifact:
        """Read about a file. Raises NotFound."""
        return self._session.run(_get(artifact))

    def list(self, *, task: TaskId | None = None) -> Iterator[Artifact]:
        """All, or those that a task made, newest first, read page by page."""
        return self._session.items(_all(task))

    def delete(self, artifact: ArtifactId) -> None:
        """Delete a file."""
        self._session.run(_delete(artifact))


class AsyncArtifacts:
    """`client.artifacts` of an AsyncClient. The files themselves are read and written in the event loop's thread."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """Store a file; see Artifacts.upload."""
        with _upload(source, name, media_type, progress) as steps:
            return await self._session.run(steps)

    async def download(
        self, artifact: ArtifactId, to: Target | None = None, *, progress: Progress | None = None
    ) -> bytes:
        """Read a file; see Artifacts.download."""
        with _writer(to) as file:
            async with self._session.transport.stream(_content(artifact)) as answer:
                done, size = 0, _size_of(answer)
                async for piece in answer.aiter_bytes(PIECE):
                    file.write(piece)
                    done += len(piece)
                    if progress is not None:
                        progress(done, size)
            return file.getvalue() if to is None and isinstance(file, io.BytesIO) else b""

    async def get(self, artifact: ArtifactId) -> Artifact:
        """Read about a file. Raises NotFound."""
        return await self._session.run(_get(artifact))

    def list(self, *, task: TaskId | None = None) -> AsyncIterator[Artifact]:
        """All, or those that a task made, newest first, read page by page."""
        return self._session.items(_all(task))

    async def delete(self, artifact: ArtifactId) -> None:
        """Delete a file."""
        await self._session.run(_delete(artifact))
