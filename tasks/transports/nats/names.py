"""How names of queues, exchanges and routing keys become names of streams, consumers, keys and subjects. Pure."""

import re
from collections.abc import Iterator

PLAIN = re.compile(r"[A-Za-z0-9_-]")
EMPTY = "="
"""Stands for an empty name; an escaped character has two digits behind it, so that the two cannot be confused."""


def encode(name: str) -> str:
    """A name in letters that streams, keys and subjects all allow: others are written as = and their code."""
    return "".join(_encoded(name)) or EMPTY


def _encoded(name: str) -> Iterator[str]:
    for byte in name.encode():
        letter = chr(byte)
        yield letter if PLAIN.match(letter) else f"={byte:02X}"


def decode(name: str) -> str:
    """The name that was encoded."""
    if name == EMPTY:
        return ""
    raw = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), name.encode())
    return raw.decode(errors="replace")


def route(routing_key: str) -> str:
    """A routing key as the end of a subject: word by word, so that patterns can be asked for."""
    return ".".join(encode(word) for word in routing_key.split("."))


def routing_key(route_: str) -> str:
    """The routing key at the end of a subject."""
    return ".".join(decode(word) for word in route_.split("."))


def interest(exchange_type: str, pattern: str) -> str:
    """What to subscribe to for a binding; with # it is wider than the pattern, see `matches`."""
    if exchange_type == "fanout" or "#" in pattern.split("."):
        return ">"
    if exchange_type == "topic":
        return ".".join("*" if word == "*" else encode(word) for word in pattern.split("."))
    return route(pattern)


def matches(exchange_type: str, pattern: str, key: str) -> bool:
    """Whether a message with this routing key belongs to a binding, as AMQP has it."""
    if exchange_type == "fanout":
        return True
    if exchange_type == "topic":
        return _words_match(pattern.split("."), key.split("."))
    return pattern == key


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(_words_match(rest, words[taken:]) for taken in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and _words_match(rest, words[1:])
