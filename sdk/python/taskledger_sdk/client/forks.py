"""A child process gets connections and lanes of its own: two processes on one connection would mix their answers."""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What has something to renew in a child."""

    def _start_afresh(self) -> None: ...


_clients: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def watch(client: Forked) -> None:
    """Renew it in each child that is forked from now on."""
    _clients.add(client)


def _in_child() -> None:
    for client in list(_clients):
        client._start_afresh()


os.register_at_fork(after_in_child=_in_child)
