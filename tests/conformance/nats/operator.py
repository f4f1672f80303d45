"""What somebody with the `nats` command can do to the streams of one namespace, behind the service's back."""

from typing import Any

from kombu import Connection


class Operator:
    """Speaks JetStream's API over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._namespace = url.rpartition("/")[2].partition("?")[0]

    def streams(self) -> list[str]:
        """The streams of this namespace, its key-value bucket included."""
        names = self._ask("STREAM.NAMES").get("streams") or ()
        return [name for name in names if name.removeprefix("KV_").startswith(f"{self._namespace}-")]

    def delete_all_streams(self) -> int:
        """Returns how many there were."""
        return len([self._ask(f"STREAM.DELETE.{name}") for name in self.streams()])

    def purge_all_streams(self) -> int:
        return len([self._ask(f"STREAM.PURGE.{name}") for name in self.streams()])

    def delete_bucket(self) -> None:
        self._ask(f"STREAM.DELETE.{self._bucket}")

    def purge_bucket(self) -> None:
        self._ask(f"STREAM.PURGE.{self._bucket}")

    def bindings(self) -> int:
        """How many keys the bucket has."""
        return int(self._ask(f"STREAM.INFO.{self._bucket}")["state"]["messages"])

    def consumers(self, queue: str) -> list[str]:
        return list(self._ask(f"CONSUMER.NAMES.{self._stream(queue)}", offset=0).get("consumers") or ())

    def delete_consumers(self, queue: str) -> int:
        """Returns how many there were."""
        return len([self._ask(f"CONSUMER.DELETE.{self._stream(queue)}.{name}") for name in self.consumers(queue)])

    @property
    def _bucket(self) -> str:
        return f"KV_{self._namespace}-bindings"

    def _stream(self, queue: str) -> str:
        return f"{self._namespace}-queue-{queue}"

    def _ask(self, subject: str, **body: Any) -> dict[str, Any]:
        with Connection(self._url, connect_timeout=3) as connection:
            connection.connect()
            transport = connection.transport
            return dict(transport.ask(transport.nats.ask(subject, **body)))
