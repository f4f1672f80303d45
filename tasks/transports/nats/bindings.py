"""Which durable queues an exchange feeds: a key-value bucket, followed by everybody who publishes."""

import asyncio
import json
from dataclasses import asdict, dataclass

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from tasks.transports.nats.client import Client
from tasks.transports.nats.errors import NatsUnavailable
from tasks.transports.nats.names import encode, matches


@dataclass(frozen=True)
class Binding:
    """A queue receives what an exchange is given with a matching routing key."""

    exchange: str
    exchange_type: str
    queue: str
    routing_key: str

    @property
    def key(self) -> str:
        """The key of its entry in the bucket."""
        return f"{encode(self.exchange)}.{encode(self.queue)}.{encode(self.routing_key)}"


class Bindings:
    """A copy of the bucket that follows it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bucket: KeyValue | None = None
        self._all: dict[str, Binding] = {}
        self._lock = asyncio.Lock()

    async def queues(self, exchange: str, routing_key: str) -> list[str]:
        """The durable queues that a message goes to."""
        await self._follow()
        found = [
            each.queue
            for each in self._all.values()
            if each.exchange == exchange and matches(each.exchange_type, each.routing_key, routing_key)
        ]
        return list(dict.fromkeys(found))

    async def of_queue(self, queue: str) -> list[Binding]:
        """What a queue is bound to."""
        await self._follow()
        return [each for each in self._all.values() if each.queue == queue]

    async def add(self, binding: Binding) -> None:
        """Bind, unless it is known already."""
        bucket = await self._follow()
        if self._all.get(binding.key) != binding:
            await bucket.put(binding.key, json.dumps(asdict(binding)).encode())
            self._all[binding.key] = binding

    async def remove(self, binding: Binding) -> None:
        """Unbind."""
        bucket = await self._follow()
        if self._all.pop(binding.key, None) is not None:
            await bucket.delete(binding.key)

    async def remove_exchange(self, exchange: str) -> None:
        """Unbind every queue from an exchange."""
        await self._follow()
        for binding in [each for each in self._all.values() if each.exchange == exchange]:
            await self.remove(binding)

    async def _follow(self) -> KeyValue:
        async with self._lock:
            if self._bucket is None:
                self._bucket = await self._read()
            return self._bucket

    async def _read(self) -> KeyValue:
        """Listen first, then read what is there: nothing falls between.

        Changes are heard as plain messages on the bucket's subjects. nats-py's watcher would keep a consumer at the
        server, and three tasks here, for each connection; it was seen to time out on a busy machine.
        """
        name = f"{encode(self._client.address.namespace).replace('=', '_')}-bindings"
        options = self._client.options
        context = self._client.nc.jetstream(timeout=options.request_timeout)
        try:
            try:
                bucket = await context.key_value(name)
            except nats.js.errors.NotFoundError:
                bucket = await context.create_key_value(bucket=name, storage=options.storage, replicas=options.replicas)
            await self._client.nc.subscribe(f"$KV.{name}.>", cb=self._changed)
            await self._client.nc.flush()
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(f"the bucket of bindings cannot be read: {error}") from error
        for key in await self._keys(name):
            await self._load(bucket, key)
        return bucket

    async def _keys(self, name: str) -> list[str]:
        info = await self._client.ask(f"STREAM.INFO.KV_{name}", subjects_filter=">")
        return [subject.removeprefix(f"$KV.{name}.") for subject in info["state"].get("subjects") or ()]

    async def _load(self, bucket: KeyValue, key: str) -> None:
        try:
            entry = await bucket.get(key)
        except nats.js.errors.KeyNotFoundError:
            return  # deleted: its marker is what is left
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(f"the bucket of bindings cannot be read: {error}") from error
        if entry.value and key not in self._all:  # what was heard meanwhile is younger
            self._all[key] = Binding(**json.loads(entry.value))

    async def _changed(self, message: Msg) -> None:
        key = message.subject.split(".", 2)[2]
        if message.data:
            self._all[key] = Binding(**json.loads(message.data))
        else:
            self._all.pop(key, None)
