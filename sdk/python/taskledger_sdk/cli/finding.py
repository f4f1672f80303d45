"""Things that people call by their names, although the API knows them by their ids."""

from typing import Any, Literal, overload

import click

from taskledger_sdk.cli import lists
from taskledger_sdk.cli.inputs import is_id
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.transport import Transport


@overload
def schedule_of(api: Transport, name: str) -> dict[str, Any]: ...
@overload
def schedule_of(api: Transport, name: str, *, or_none: Literal[True]) -> dict[str, Any] | None: ...
def schedule_of(api: Transport, name: str, *, or_none: bool = False) -> dict[str, Any] | None:
    """The schedule with this id, or with exactly this name; the caller's own first: an admin sees those of others.

    Raises click.ClickException where several have the name, or none has it. With `or_none`, only those of the caller
    count.
    """
    if is_id(name):
        return api.get(path_of("schedules", name))
    found = [each for each in lists.read(api, "/schedules", {"q": name})["items"] if each["name"] == name]
    if found and (or_none or len(found) > 1):
        me = api.get("/auth/me")["id"]
        own = [each for each in found if each["owner"] == me]
        found = own if own or or_none else found
    if len(found) > 1:
        ids = ", ".join(each["id"] for each in found)
        raise click.ClickException(f"Several schedules are called {name!r}: give the id of one ({ids}).")
    if not found and not or_none:
        raise click.ClickException(
            f"There is no schedule {name!r}: `tledger schedules list` shows those that there are."
        )
    return found[0] if found else None
