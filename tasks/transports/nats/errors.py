"""What goes wrong with NATS, as kombu and Celery expect it: the broker is away, or it refuses one thing."""

import nats.errors
from kombu.exceptions import ChannelError


class NatsUnavailable(ConnectionError):
    """The broker is away, or does not let us in; the connection has to be made anew."""


class QueueRefused(ChannelError):
    """NATS refuses a queue or a message; the connection is as good as before."""


def explain(error: BaseException, where: str) -> str:
    """One line for an operator: what is wrong at `where` (host and port, no password), and what to do."""
    text = str(error).removeprefix("nats: ").strip() or type(error).__name__
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in text.lower():
        return f"NATS at {where} refused the credentials in BROKER_URL"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return f"NATS at {where} refused the connection: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"NATS at {where} did not answer in time"
    if "empty response from server when expecting INFO" in text:
        return f"what listens at {where} is no NATS server"
    return f"NATS at {where}: {text}"


def no_jetstream(where: str) -> NatsUnavailable:
    """The server is there, and cannot keep messages."""
    return NatsUnavailable(f"NATS at {where} has no JetStream for this account: start nats-server with --jetstream")
