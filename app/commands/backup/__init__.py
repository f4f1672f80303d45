"""`flask --app app backup` and `restore`: the ledger and its files in one folder, and back."""

from app.commands.backup.commands import backup, restore

__all__ = ["backup", "restore"]
