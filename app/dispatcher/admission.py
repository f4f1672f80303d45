"""Duty: admit tasks on hold, as limits, order and turns allow. Rows first, committed, and then the hints."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from app.config import get_settings
from app.database import in_transaction
from app.dispatcher.dispatch import publish
from app.messaging import Hint, Publisher
from app.services import admission, webhooks

BATCH = 1_000
SWEEP_EVERY = timedelta(seconds=2)
# How long until the next round, by what there was to do: the less there is, the less it costs.
PAUSES = {admission.Demand.HELD: 0.02, admission.Demand.ACTIVE: 0.05, admission.Demand.IDLE: 0.25}
BRISK_SECONDS = 0.005  # while places come free again and again
BRISK_ROUNDS = 100
RECEIVERS_PAUSE_SECONDS = 0.05  # while all that is on hold waits for receivers that do not answer, maybe for days


class Admission:
    """With nothing on hold, a round is one look at an empty index."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        boost_after = timedelta(seconds=get_settings().aging_seconds)
        self._cursor, self._turns = admission.LaneCursor(boost_after=boost_after), admission.StrideScheduler()
        self._swept_at: datetime | None = None
        self._demand = admission.Demand.IDLE
        self._rounds_without = 0
        self._may_find_earlier = True

    def pause_seconds(self) -> float:
        """How long until the next round."""
        if self._demand is admission.Demand.HELD:
            if self._rounds_without < BRISK_ROUNDS and not self._cursor.waits_for_circuits:
                return BRISK_SECONDS
            if self._cursor.is_of_deliveries:
                return RECEIVERS_PAUSE_SECONDS
        return PAUSES[self._demand]

    def run_once(self, now: datetime) -> int:
        """One round; returns how many tasks were admitted. Raises one of the publisher's `errors`."""
        brought = self._sweep(now)
        self._demand = in_transaction(admission.demand)
        if self._demand is not admission.Demand.HELD:
            return brought
        self._publisher.connect()  # with the broker down this raises, and no row is touched
        chosen = in_transaction(lambda session: admission.admit(session, self._cursor, self._turns, now=now))
        self._rounds_without = 0 if chosen else self._rounds_without + 1
        # In hints of their own: a chunk would run one after the other what may run at the same time.
        publish(self._publisher, [replace(Hint.of(each), chunk=1) for each in chosen], now)
        return brought + len(chosen)

    def _sweep(self, now: datetime) -> int:
        if self._swept_at is not None and now - self._swept_at < SWEEP_EVERY:
            return 0
        brought = in_transaction(lambda session: admission.bring_under_limits(session, now=now, limit=BATCH))
        # Of a release before, whose sinks may still run: once, because what is new requires admission by itself.
        if self._may_find_earlier:
            adopted = in_transaction(lambda session: webhooks.adopt_earlier(session, limit=BATCH))
            self._may_find_earlier = adopted > 0
            brought += adopted
        promoted = in_transaction(admission.promote_first)
        if not brought:
            self._swept_at = now
        return brought + promoted
