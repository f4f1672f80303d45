"""Outbound HTTP for handlers: no private address, no proxy, no surprise; and one deadline over everything.

Handlers import this, and tasks/exchanges.py is imported when the first of them sends something: workers that send
nothing load no requests, no urllib3 and no AntiSSRF, which are 5 MB of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tasks.answers import AddressRefused, Answer, NoAnswer

__all__ = ["MAX_REDIRECTS", "AddressRefused", "Answer", "NoAnswer", "Outbound"]

MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Outbound:
    """Sends requests; `allow` is the setting OUTBOUND_ALLOW, `peers` are URLs from settings, allowed as they stand."""

    allow: str = ""
    peers: Sequence[str] = ()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = 30.0,
        most_bytes: int = 1_048_576,
        redirects: int = MAX_REDIRECTS,
        accepts: Collection[int] = (),
        may_become_get: bool = True,
    ) -> Answer:
        """Send one request and follow its redirects; it all ends within `seconds`, name resolution included.

        A redirect that is not followed, because `redirects` is 0 or `accepts` has its status, is the answer. With
        `may_become_get` a POST goes on as a GET after 301 and 302, as browsers do it; without it that is refused.

        Raises AddressRefused, NoAnswer, and PermanentError for a URL that cannot be requested, for too many redirects
        and for one that would drop the request.
        """
        from tasks import exchanges  # see above

        rules = exchanges.Rules(
            most_bytes=most_bytes, redirects=redirects, accepts=accepts, may_become_get=may_become_get
        )
        allowed = exchanges.allow_list(self.allow, self.peers)
        return exchanges.send(method, url, headers or {}, body, allowed=allowed, rules=rules, seconds=seconds)
