"""The table of transitions: every arrow between statuses, once in code (and once in docs/reference/statuses.md)."""

from dataclasses import dataclass

from app.models import Status

S = Status
UNCLAIMED = (S.SCHEDULED, S.PENDING, S.RETRYING)


@dataclass(frozen=True)
class Transition:
    """One arrow: from any of `sources` to `target`."""

    sources: tuple[Status, ...]
    target: Status
    when: str

    @property
    def guard(self) -> str:
        """SQL condition that holds only for rows this arrow may start from."""
        return f"tasks.status IN ({', '.join(repr(source.value) for source in self.sources)})"

    def joins(self, previous: str | None, status: str) -> bool:
        """Whether a change from one status to the other is this arrow, or one beside it."""
        return status == self.target and previous in self.sources


DUE = Transition((S.SCHEDULED, S.RETRYING), S.PENDING, "its moment has come")
RESCHEDULED = Transition((S.PENDING, S.SCHEDULED, S.RETRYING), S.SCHEDULED, "its start was moved to a later moment")
STARTED_EARLY = Transition((S.SCHEDULED,), S.PENDING, "its start was moved to now")
RELEASED = Transition((S.SCHEDULED,), S.PENDING, "its parent lets it start")
CLAIMED = Transition((S.PENDING,), S.PROCESSING, "a worker took it")
RETURNED = Transition((S.PROCESSING,), S.COMPLETED, "the handler returned")
RETRIED = Transition((S.PROCESSING,), S.RETRYING, "the handler raised or its worker was lost, retries are left")
FAILED = Transition((S.PROCESSING,), S.FAILED, "the handler raised or its worker was lost, nothing is left")
GIVEN_BACK = Transition((S.PROCESSING,), S.PENDING, "the worker gave it back unfinished; the attempt is not counted")
SUSPENDED = Transition((S.PROCESSING,), S.WAITING, "its durable handler waits for a moment, a signal or its children")
WOKEN = Transition((S.WAITING,), S.PENDING, "what it waited for has come")
STOPPED = Transition((S.PROCESSING,), S.CANCELLED, "it raised or was lost after its cancellation was requested")
CANCELLED = Transition((*UNCLAIMED, S.WAITING), S.CANCELLED, "cancelled before it started, or while it waited")
EXPIRED = Transition(UNCLAIMED, S.CANCELLED, "not started before its expires_at")
REPLAYED = Transition((S.FAILED, S.CANCELLED), S.PENDING, "replayed with a fresh retry budget")
UNREPLAYED = Transition((S.PENDING,), S.FAILED, "its repair was undone before it had started")

TRANSITIONS = {
    "due": DUE,
    "rescheduled": RESCHEDULED,
    "started early": STARTED_EARLY,
    "released": RELEASED,
    "claimed": CLAIMED,
    "returned": RETURNED,
    "retried": RETRIED,
    "failed": FAILED,
    "given back": GIVEN_BACK,
    "suspended": SUSPENDED,
    "woken": WOKEN,
    "stopped": STOPPED,
    "cancelled": CANCELLED,
    "expired": EXPIRED,
    "replayed": REPLAYED,
    "unreplayed": UNREPLAYED,
}
