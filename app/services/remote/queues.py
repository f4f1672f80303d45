"""The queues of remote types: each type has its own, which is a line of rows and no queue of the broker. Pure."""

PREFIX = "remote:"
"""No queue of the broker is called so: names of queues have no colon."""


def queue_of(type_name: str) -> str:
    """The queue of a remote type."""
    return PREFIX + type_name


def type_of(queue: str) -> str:
    """The remote type whose queue it is."""
    return queue.removeprefix(PREFIX)


def is_remote(queue: str) -> bool:
    """Whether hints for this queue are rows."""
    return queue.startswith(PREFIX)
