"""A project for a team's task types, as `tledger init` writes it."""

from taskledger_sdk.project.files import files
from taskledger_sdk.project.names import BadName, package_of

__all__ = ["BadName", "files", "package_of"]
