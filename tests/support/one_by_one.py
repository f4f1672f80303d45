"""For brokers that do what a test says: publishing together as one publication after the other."""

from collections.abc import Callable, Sequence

from app.messaging import Hint


def published_one_by_one(
    publish: Callable[[Hint], None], hints: Sequence[Hint]
) -> tuple[list[Hint], BaseException | None]:
    """As Publisher.publish_together: what is left at the first fault, and the fault."""
    for position, hint in enumerate(hints):
        try:
            publish(hint)
        except Exception as error:
            return list(hints[position:]), error
    return [], None
