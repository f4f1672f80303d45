"""Sample files that everybody may read, so that the examples of the task types run as they stand."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from uuid import UUID

FOLDER = Path(__file__).parent / "sample_files"
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A file that comes with the program."""

    id: UUID
    path: Path
    media_type: str

    @cached_property
    def sha256(self) -> str:
        """Of its content, hexadecimal."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


_ALL = (
    Sample(id=UUID("00000000-0000-7000-8000-000000000001"), path=FOLDER / "orders.csv", media_type="text/csv"),
    Sample(id=UUID("00000000-0000-7000-8000-000000000002"), path=FOLDER / "photo.jpg", media_type="image/jpeg"),
    Sample(id=UUID("00000000-0000-7000-8000-000000000003"), path=FOLDER / "customers.csv", media_type="text/csv"),
)
SAMPLES = {sample.id: sample for sample in _ALL}
