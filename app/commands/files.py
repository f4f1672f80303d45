"""Files that commands read: one that cannot be read is said in one line, with exit status 2."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def readable(path: str, hint: str) -> Iterator[None]:
    """Around the reading of a file. Raises click.BadParameter, naming the file, for one that is no text or not there.

    `hint`: the argument or option that names the file.
    """
    shown = "standard input" if path == "-" else path
    try:
        yield
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{shown} is no text in UTF-8: byte {error.start}", param_hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise click.BadParameter(f"{shown} cannot be read: {reason}", param_hint=hint) from None
