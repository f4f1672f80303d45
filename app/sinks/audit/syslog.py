"""Entries of the audit log as syslog messages (RFC 5424), and how a stream is divided into them (RFC 6587). Pure."""

import json
import re
from typing import Any

LOG_AUDIT = 13  # the facility
NOTICE, WARNING = 5, 4
REFUSALS = frozenset(("user.login_failed", "session.token_reused"))
APP_NAME = "taskledger"
MAX_DATAGRAM_BYTES = 65_507
NIL = "-"
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


def message(entry: dict[str, Any], *, host: str) -> bytes:
    """One entry as a message.

    Its text is the JSON of `audit export`, in ASCII: text in UTF-8 would have to begin with a byte order mark, which
    programs that read JSON take for a fault. MSGID is the action.
    """
    severity = WARNING if entry["action"] in REFUSALS else NOTICE
    names = f"{_name(host, 255)} {APP_NAME} - {_name(entry['action'], 32)}"
    return f"<{LOG_AUDIT * 8 + severity}>1 {entry['at']} {names} - {_json(entry)}".encode("ascii")


def datagram(entry: dict[str, Any], *, host: str) -> bytes:
    """One entry as a message that fits a datagram: of one that would not, the detail is left out, and its size said."""
    whole = message(entry, host=host)
    if len(whole) <= MAX_DATAGRAM_BYTES:
        return whole
    size = len(_json(entry["detail"]))
    return message({**entry, "detail": {"left_out_bytes": size}}, host=host)


def framed(text: bytes) -> bytes:
    """A message for a stream: its length in octets, a blank, and the message."""
    return b"%d %s" % (len(text), text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _name(text: str, longest: int) -> str:
    """A field of the header, which is of printable ASCII without blanks."""
    return _NOT_PRINTABLE.sub("_", text)[:longest] or NIL
