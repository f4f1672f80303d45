"""Files that were uploaded or that tasks made: rows in `artifacts`, content in a store; docs/reference/artifacts.md."""

from app.services.artifacts.content import StorageFull, TooLarge
from app.services.artifacts.records import ArtifactRecord, delete, find, read
from app.services.artifacts.retention import sweep
from app.services.artifacts.saving import NewArtifact, save
from app.services.artifacts.store import Store, StoreAway, store

__all__ = [
    "ArtifactRecord",
    "NewArtifact",
    "StorageFull",
    "Store",
    "StoreAway",
    "TooLarge",
    "delete",
    "find",
    "read",
    "save",
    "store",
    "sweep",
]
