"""Runs the audit sink: one at a time, after the last entry that was taken, for as long as the receiver may be away.

Ids of the audit log follow each other without a gap in the order of commits (each entry waits for the one before), so a
position is one number, and an entry that is missing shows. The broker has no part in it.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from app import clock
from app.database import Session, commit_asynchronously
from app.services.accounts import audit_chain
from app.services.events import sinks
from app.services.events.sinks import AUDIT, Place
from app.services.leader import LeaderLock
from app.sinks.audit.receivers import Failed, Receiver, TooLarge

log = structlog.get_logger(__name__)

MAX_ENTRIES = 500
MAX_BYTES = 1_000_000
LOOK_SECONDS = 1.0
BEAT_SECONDS = 2.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0


def pause_after(failures: int, chance: float) -> float:
    """Seconds until the next try: doubling to a minute, of which `chance` (0..1) takes up to half away. Pure."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), MAX_PAUSE_SECONDS)
    return longest * (1 - chance / 2)


class AuditRunner:
    """Sends what is new until it is stopped."""

    def __init__(self, receiver: Receiver, *, now: Callable[[], datetime] = clock.utcnow) -> None:
        self._receiver = receiver
        self._now = now
        self._leader = LeaderLock(f"sink.{AUDIT}")
        self._position = 0
        self._most = MAX_ENTRIES
        self._failures = 0
        self._again_at = 0.0
        self._beat_at = 0.0
        self._waits = False
        self._stopping = threading.Event()
        self._node = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        """Ask it to end after what is on its way."""
        self._stopping.set()

    def run_until_stopped(self) -> None:
        """Wait for its turn, then send what is new; begin again after trouble."""
        while not self._stopping.is_set():
            is_more = False
            try:
                if self._leader.is_ours or self._take_lead():
                    is_more = self.step()
            except Exception as error:
                expected = isinstance(error, sa.exc.SQLAlchemyError | OSError)
                text = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}".strip()
                log.warning("sink_interrupted", sink=AUDIT, error=text, exc_info=not expected)
                self._leader.end()
            if not is_more:
                self._stopping.wait(LOOK_SECONDS)
        self._leader.end()

    def _take_lead(self) -> bool:
        if not self._leader.take(self._now()):
            if not self._waits:
                log.info("sink_waits_for_its_turn", sink=AUDIT)
            self._waits = True
            return False
        self._waits = False
        with Session(self._leader.connection) as session, session.begin():
            ends = audit_chain.ends(session)
            self._position = sinks.begin(session, AUDIT, position=ends.pruned_id).position
            sinks.seen(session, AUDIT, node=self._node, now=self._now())
            if self._position > ends.last_id:
                self._raise_alarm(session, f"it stood at {self._position}, and the newest entry is {ends.last_id}")
                sinks.go_back(session, AUDIT, position=ends.last_id)
                self._position = ends.last_id
        log.info("sink_started", sink=AUDIT, position=self._position, receiver=self._receiver.name)
        return True

    def step(self) -> bool:
        """Send the next entries, unless it is too soon after a failure; whether there may be more at once."""
        self._beat()
        if time.monotonic() < self._again_at:
            return False
        with Session(self._leader.connection) as session, session.begin():
            page = audit_chain.after(session, self._position, limit=self._most, most_bytes=MAX_BYTES)
        if not page:
            return False
        try:  # in no transaction: a receiver may take long
            self._receiver.send([audit_chain.plain(entry) for entry in page])
        except TooLarge as error:
            return self._send_less(error, len(page))
        except Failed as error:
            self._wait(error)
            return False
        self._note(page)
        return True

    def _note(self, page: Sequence[dict[str, Any]]) -> None:
        last = page[-1]
        with Session(self._leader.connection) as session, session.begin():
            sinks.advance(session, AUDIT, Place(position=last["id"], state=None), event_at=last["at"], now=self._now())
            missing = last["id"] - self._position - len(page)
            if missing:
                text = f"{missing} entries between {self._position} and {last['id']} were removed before they were sent"
                self._raise_alarm(session, text)
        if self._failures:
            log.info("audit_receiver_is_back", receiver=self._receiver.name, failures=self._failures)
        self._position, self._failures, self._again_at = last["id"], 0, 0.0

    def _send_less(self, error: TooLarge, count: int) -> bool:
        if count == 1:
            self._wait(error)
            return False
        self._most = max(1, count // 2)
        log.info("audit_receiver_takes_less", receiver=self._receiver.name, entries=self._most)
        return True

    def _wait(self, error: Failed) -> None:
        self._failures += 1
        asked = error.wait_seconds or 0.0
        pause = max(asked, pause_after(self._failures, random.random()))
        self._again_at = time.monotonic() + pause
        log.warning("audit_receiver_failed", receiver=self._receiver.name, error=str(error), seconds=round(pause, 1))
        with Session(self._leader.connection) as session, session.begin():
            sinks.failed(session, AUDIT, str(error)[:500])

    def _beat(self) -> None:
        """Tell every other second that it runs."""
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_SECONDS
        with Session(self._leader.connection) as session, session.begin():
            commit_asynchronously(session)
            sinks.seen(session, AUDIT, node=self._node, now=self._now())

    def _raise_alarm(self, session: Session, text: str) -> None:
        log.error("sink_alarm", sink=AUDIT, what=text)
        sinks.alarm(session, AUDIT, text, now=self._now())
