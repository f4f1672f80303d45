"""Points about what runs: broker, queues, dispatcher, workers and their types, and the ledger's own accounts."""

from datetime import datetime

import sqlalchemy as sa

from app import messaging
from app.commands.doctor.finding import Finding, Findings, fault, judged, ok, warning
from app.config import Settings
from app.database import Session
from app.services.dispatch import queues
from app.services.dispatch.workers import ALIVE_FOR
from app.services.events import sinks
from app.services.measuring import integrity, readiness
from taskledger_sdk.registry import load_types
from tasks.brokers import Broker

LIVE_WORKERS = sa.text("""
    SELECT node, types, queues, version
    FROM workers
    WHERE kind = 'celery'
        AND stopped_at IS NULL
        AND last_seen_at > CAST(:now AS timestamptz) - CAST(:alive_for AS interval)
""")


def of_broker(settings: Settings) -> Findings:
    """Whether hints get through; a broker that is away costs delay, not tasks, and still is a fault."""
    found = messaging.broker_fault()
    broker = settings.broker
    seen = found or f"it answers, over {'TLS' if broker.is_encrypted else 'plain TCP'}"
    yield judged("broker", found is None, seen, "is it running, and are host, password and virtual host right?")
    if broker.longest_delivery_seconds is not None:
        yield ok("longest delivery", _held_how(broker))
    if found is None and broker.dead_letters:
        yield _confirms()


def _held_how(broker: Broker) -> str:
    """What becomes of the message of a task that takes long; the server itself may be set up otherwise."""
    seconds = broker.longest_delivery_seconds
    early = broker.early_seconds
    if early is None:
        return f"a message is held for {seconds} s; a copy that is delivered then finds its task taken"
    return (
        f"a message may be held for {seconds} s, and is acknowledged after {early:g} s; the consumer_timeout of "
        "RabbitMQ must not be shorter (LONGEST_DELIVERY_SECONDS)"
    )


def _confirms() -> Finding:
    """A broker that is out of memory or disk takes connections, and nothing that is published."""
    letter = messaging.DeadLetter(reason="doctor: a message that proves that messages are taken")
    publisher = messaging.Publisher()
    try:
        publisher.publish_dead_letter(letter)
    except publisher.errors as error:
        return fault("broker takes messages", f"{type(error).__name__}: {error}", "is a memory or disk alarm on?")
    finally:
        publisher.close()
    return ok("broker takes messages", "one was confirmed")


def of_processes(session: Session, *, now: datetime) -> Findings:
    """Who is at work."""
    found = readiness.dispatcher_fault(session.connection(), now=now)
    yield judged(
        "dispatcher", found is None, found or "looks for due tasks", "start `celery -A tasks beat`, two of them"
    )
    workers = session.execute(LIVE_WORKERS, {"now": now, "alive_for": ALIVE_FOR}).all()
    yield judged("workers", bool(workers), f"{len(workers)} alive", "start `celery -A tasks worker`")
    if not workers:
        return
    served = {name for worker in workers for name in worker.queues}
    idle = sorted({kind.queue for kind in load_types().values()} - served)
    seen = f"nobody serves {', '.join(idle)}" if idle else "each is served"
    yield judged("queues", not idle, seen, "start a worker with -Q and its name")
    yield from _types({worker.node: worker.types for worker in workers})


def of_sinks(session: Session, *, now: datetime) -> Findings:
    """Whether the consumers of the events stand where the ledger says; nothing where none ever ran."""
    found = sinks.statuses(session, now=now)
    if not found:
        return
    beyond = [each for each in found if each.lag_events < 0]
    if beyond:
        told = ", ".join(f"{each.name} by {-each.lag_events}" for each in beyond)
        yield fault("sinks", f"beyond the newest event: {told}", "start them: each goes back to the newest by itself")
        return
    alarmed = [f"{each.name}: {each.alarm}" for each in found if each.is_alarmed]
    advice = "see who can write to the broker, and change its passwords; no event was taken from that message"
    yield judged("sinks", not alarmed, "; ".join(alarmed) or "each is within the ledger", advice, warning)


def _types(known: dict[str, dict[str, str]]) -> Findings:
    everywhere = load_types()
    nowhere = sorted(name for name in everywhere if not any(name in types for types in known.values()))
    seen = f"no worker knows {', '.join(nowhere)}" if nowhere else f"all {len(everywhere)} are known"
    yield judged("task types", not nowhere, seen, "deploy this version's workers")
    strange = sorted(
        node
        for node, types in known.items()
        if any(types.get(name, kind.schema_hash) != kind.schema_hash for name, kind in everywhere.items())
    )
    seen = f"others on {', '.join(strange)}" if strange else "the same everywhere"
    advice = "wait for the deployment to end: what they do not take waits for workers of this version"
    yield judged("payload schemas", not strange, seen, advice, warning)


def of_ledger(session: Session, *, now: datetime) -> Findings:
    """Whether the ledger keeps its promises."""
    report = integrity.report(session, messaging.waiting_hints(queues.known_queues()), now=now)
    for found in report.findings:
        yield fault("integrity", found, "see `flask --app app integrity`")
    if report.clean:
        yield ok("integrity", "nothing is lost, nothing was recorded twice")
