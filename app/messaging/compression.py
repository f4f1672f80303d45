"""No message of ours is compressed: what says that it is, is refused before it grows."""

from typing import NoReturn

from kombu import compression


class Compressed(ValueError):
    """A message says that it is compressed, and nobody of ours compresses."""


def refuse_compressed() -> None:
    """For this process: kombu unpacks a body before anybody is asked, and some kilobytes become gigabytes."""
    for content_type in compression.encoders():
        compression.register(_refuse, _refuse, content_type)


def _refuse(_: bytes) -> NoReturn:
    raise Compressed("is compressed, and no message of ours is")
