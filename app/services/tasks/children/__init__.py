"""Tasks that a handler submits: what it may ask for, how they become durable, and how they are found again."""

from app.services.tasks.children.asking import MAX_KEY, Wish, wish
from app.services.tasks.children.family import MAX_CHILDREN, Family, find, read_family
from app.services.tasks.children.storing import Child, draft, store

__all__ = [
    "MAX_CHILDREN",
    "MAX_KEY",
    "Child",
    "Family",
    "Wish",
    "draft",
    "find",
    "read_family",
    "store",
    "wish",
]
