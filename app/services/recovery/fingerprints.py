"""The fingerprint of a failure: what is left of its message once the values in it are taken out. Pure.

Numbers, ids, addresses and quoted values differ from task to task while the cause is one. A fingerprint is written with
its row and never again: when these rules change, the groups that are there keep the one that they have
(docs/decisions/0039-a-fingerprint-is-what-is-left-of-a-message.md).
"""

import hashlib
import re

VALUE = "#"
MAX_QUOTED = 300  # characters between two quotes; more is text that happens to have an apostrophe at either end
_HEX = "[0-9a-fA-F]"
_WORD_CHARACTER = r"[0-9A-Za-z_]"
# In this order: what comes first may hold what comes later. Each is bounded or cannot begin twice in one place, so that
# a message made to be slow is not.
_RULES = (
    # Web addresses, up to what cannot be part of one.
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s\"'<>`|\\^{}]+",
    # Mail addresses.
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,10}",
    # What is quoted. An apostrophe within a word (can't, the server's) is no quote.
    rf"(?<!{_WORD_CHARACTER})[bru]?'(?:[^'\\\n]|\\.){{0,{MAX_QUOTED}}}'(?!{_WORD_CHARACTER})",
    rf'(?<!{_WORD_CHARACTER})[bru]?"(?:[^"\\\n]|\\.){{0,{MAX_QUOTED}}}"(?!{_WORD_CHARACTER})',
    rf"`[^`\n]{{0,{MAX_QUOTED}}}`",
    rf"[\u2018\u201c\u201e\u00ab][^\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\n]{{0,{MAX_QUOTED}}}[\u2019\u201d\u201c\u00bb]",
    # UUIDs, with or without hyphens in other places than usual; MAC addresses; addresses of IPv6 and in memory.
    rf"\b{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b",
    rf"\b(?:{_HEX}{{2}}[:-]){{5}}{_HEX}{{2}}\b",
    rf"(?<![0-9A-Za-z:])\[?(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{0,4}}(?:%\w+)?(?:\]:\d+|\])?(?![0-9A-Za-z:])",
    rf"\b0[xX]{_HEX}+\b",
    # Names of hosts with a port, and paths of files.
    r"\b[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,10}:\d+\b",
    r"(?<![\w/.])(?:~|\.{1,2})?(?:/[\w.@%+=:,-]+){2,}/?",
    # Words that have digits in them, or 16 hexadecimal digits: ids of other systems (ch_3Pq8, SKU-0042, 5f2b…).
    rf"\b{_HEX}{{16,}}\b",
    r"#?\b[A-Za-z_-]{0,40}\d[\w-]*(?:\.\d[\w-]*)*",
)
_VALUES = re.compile("|".join(f"(?:{rule})" for rule in _RULES))
# Lists of values are one value, however many there are: [1, 2, 3], 1, 2 and 3.
_SEVERAL = re.compile(rf"{VALUE}(?:(?:\s*[,;:/+-]\s*|\s+(?:and|or)\s+|[ \t]){VALUE})+")
_SIGNED = re.compile(rf"(?<![\w{VALUE}])[+-]{VALUE}")
_BLANKS = re.compile(r"\s+")
_FRAME = re.compile(r'^  File "([^"\n]*)", line \d+, in ([^\n]*)$', re.MULTILINE)


def fingerprint_of(error_type: str, message: str, traceback: str | None = None) -> str:
    """16 hexadecimal digits: equal for failures of one type whose messages differ in values only.

    A message that is nothing but a value, as KeyError's is, does not tell its cause: then the function that raised
    does, where `traceback` names it.
    """
    text = without_values(message)
    parts = [error_type, text]
    if text in ("", VALUE) and traceback is not None:
        parts.append(_place(traceback))
    cause = "\n".join(parts)
    return hashlib.sha256(cause.encode(errors="replace")).hexdigest()[:16]


def without_values(message: str) -> str:
    """The message with # for each value in it, with one blank where there are several."""
    text = _VALUES.sub(VALUE, message)
    text = _SIGNED.sub(VALUE, text)
    text = _SEVERAL.sub(VALUE, text)
    return _BLANKS.sub(" ", text).strip()


def _place(traceback: str) -> str:
    """File and function that raised; lines move with each release, and do not count."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return ""
    file, function = frames[-1]
    return f"{file.replace(chr(92), '/').rpartition('/')[2]}:{function}"
