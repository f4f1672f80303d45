"""The headers that make an answer a file to keep, whatever it is called and whoever made it."""

import re
import unicodedata
from urllib.parse import quote

from flask import Response

UNKNOWN_TYPE = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
WITH_PARAMETERS = re.compile(rf"{MEDIA_TYPE.pattern}(?: ?;[ -~]*)?", re.IGNORECASE)
# Paths have no place in a name, and line ends none in a header; files that tasks made may have both.
NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028\u2029\ud800-\udfff]")
PLAIN = re.compile(r"[ !#$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]*")
ATTRIBUTE = "!#$&+-.^_`|~"  # what stands for itself in filename* beside letters and digits (RFC 8187, 3.2.1)


def set_attachment(response: Response, name: str) -> None:
    """Have a browser keep the answer under this name, and never run it as a page of ours.

    A name beyond plain ASCII is said twice (RFC 6266, 4.3): exactly, for everybody, and in ASCII for old programs.
    """
    shown = NEVER.sub("_", name)
    names = {"filename": shown}
    if not PLAIN.fullmatch(shown):
        names = {"filename": _in_ascii(shown), "filename*": f"UTF-8''{quote(shown, safe=ATTRIBUTE)}"}
    response.headers.set("Content-Disposition", "attachment", **names)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"


def media_type(name: str) -> str:
    """What the file is said to be; where that is no type, bytes."""
    return name if WITH_PARAMETERS.fullmatch(name) else UNKNOWN_TYPE


def _in_ascii(name: str) -> str:
    """Letters without their marks, and an underscore for what ASCII does not have."""
    letters = (char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return "".join(char if PLAIN.fullmatch(char) else "_" for char in letters)
