"""`apply`: reading the files, and the words for what came of each document in them."""

import json
from collections.abc import Sequence
from typing import Any

import click

from taskledger_sdk.cli.inputs import documents_of

CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"
MASKED = "[redacted]"


def wanted_of(files: Sequence[str], *, what: str, server_says: frozenset[str]) -> list[dict[str, Any]]:
    """The documents of all files, each with a name, and without what only the service says.

    `what` they are, for people. Raises click.BadParameter for one without a name, and for one with [redacted] in it:
    the service shows that in the place of a secret, and would take it for the secret.
    """
    found = []
    for file in files:
        for document in documents_of(file):
            if not isinstance(document.get("name"), str) or not document["name"]:
                raise click.BadParameter(f"{file}: a {what} has no name", param_hint="FILE")
            if MASKED in json.dumps(document):
                said = f"{file}: {document['name']} has {MASKED} where a secret belongs: put the secret there"
                raise click.BadParameter(said, param_hint="FILE")
            found.append({name: value for name, value in document.items() if name not in server_says})
    return found
