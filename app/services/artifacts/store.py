"""Where content lies: a local directory or an S3-compatible bucket, both through fsspec, under names that are ours."""

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import UUID

from app.config import Settings, get_settings
from app.errors import ProblemError
from app.services.artifacts import samples
from app.services.artifacts.content import CHUNK_BYTES


class StoreAway(ProblemError):
    """The store cannot be reached, or does not do what it was asked; trying again later may help.

    Its text names addresses and is for the log.
    """

    status, code = 503, "unavailable"

    @property
    def detail(self) -> str:
        """What a caller may know."""
        return "The store of files does not answer at the moment; try again in a few seconds."


class Store:
    """Content by the id of its artifact. No name from outside ever becomes a part of a path."""

    def __init__(self, filesystem: Any, root: str, *, is_local: bool) -> None:
        self._files = filesystem
        self._root = root
        self._is_local = is_local

    @classmethod
    def of(cls, settings: Settings) -> "Store":
        """The store that the settings name; nothing is opened yet."""
        import fsspec  # not above: the worker's parent never needs it

        url = settings.artifacts_url or ""
        if url.startswith("s3:"):
            parts = urlsplit(url)
            # No shared instances: one that was made before a fork would wait for a thread that is not there.
            try:
                filesystem = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
            except ImportError as error:
                raise StoreAway("ARTIFACTS_URL names a bucket, for which s3fs must be installed") from error
            return cls(filesystem, f"{parts.netloc}{parts.path.rstrip('/')}", is_local=False)
        folder = Path(urlsplit(url).path) if url else settings.var_dir / "artifacts"
        return cls(fsspec.filesystem("file"), str(folder.resolve()), is_local=True)

    def write(self, id_: UUID, chunks: Iterable[bytes]) -> None:
        """Keep content; whatever was there under this id is replaced. Raises StoreAway."""
        with self._reported(id_):
            if self._is_local:
                Path(self._path(id_)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._files.open(self._path(id_), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                if self._is_local:
                    file.flush()
                    os.fsync(file.fileno())

    def open(self, id_: UUID) -> BinaryIO:
        """Read content; the stream can seek, and must be closed. Raises StoreAway."""
        if id_ in samples.SAMPLES:
            return samples.SAMPLES[id_].path.open("rb")
        with self._reported(id_):
            return cast("BinaryIO", self._files.open(self._path(id_), "rb"))

    @contextmanager
    def local_path(self, id_: UUID) -> Iterator[Path]:
        """The content as a file, to be read only; of a bucket, a copy that is gone when the context ends."""
        if id_ in samples.SAMPLES:
            yield samples.SAMPLES[id_].path
        elif self._is_local:
            yield Path(self._path(id_))
        else:
            with TemporaryDirectory(prefix="taskledger-") as folder:
                path = Path(folder) / "content"
                with self.open(id_) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
                yield path

    def remove(self, id_: UUID) -> None:
        """Remove content; it may be gone already. Raises StoreAway."""
        with self._reported(id_):
            try:
                self._files.rm_file(self._path(id_))
            except FileNotFoundError:
                return

    def _path(self, id_: UUID) -> str:
        return f"{self._root}/{id_.hex[-2:]}/{id_}"  # the last digits are random: 256 folders of equal size

    @contextmanager
    def _reported(self, id_: UUID) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreAway(f"The store of artifacts failed at {id_}: {type(error).__name__}: {error}") from error
        except Exception as error:
            if not type(error).__module__.startswith(("botocore", "aiobotocore", "aiohttp")):
                raise
            raise StoreAway(f"The store of artifacts failed at {id_}: {type(error).__name__}: {error}") from error


_store: Store | None = None
_store_pid = 0
_lock = threading.Lock()


def store() -> Store:
    """The store of this process; a forked child opens its own."""
    global _store, _store_pid
    with _lock:
        if _store is None or _store_pid != os.getpid():
            _store, _store_pid = Store.of(get_settings()), os.getpid()
        return _store
