"""What comes of an outbound request: an answer, none, or a refusal to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskledger_sdk.errors import PermanentError, TaskError

if TYPE_CHECKING:
    from tasks.redirects import Hop


class AddressRefused(PermanentError):
    """The URL leads to an address that tasks may not reach."""


class NoAnswer(TaskError):
    """No whole answer came: the host was not found, refused, broke off or took too long. Trying again may help."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `truncated` says that the body went on past the caller's limit.

    `method` and `url` are those of the request that was answered, `redirects` what was followed on the way there.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    method: str
    url: str
    redirects: tuple[Hop, ...]
    elapsed_ms: int
