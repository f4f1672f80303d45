"""Which durable queues an exchange feeds: a key-value bucket, followed by everybody who publishes."""

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import uuid4

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tasks.transports.nats.client import Client
from tasks.transports.nats.errors import NatsUnavailable
from tasks.transports.nats.names import encode, matches

log = logging.getLogger(__name__)

DELETED = {"KV-Operation": "DEL"}


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

    @property
    def data(self) -> bytes:
        """The binding as JSON."""
        return json.dumps(asdict(self)).encode()


class Bindings:
    """A copy of the bucket that follows it, and brings back what it has lost of ours."""

    def __init__(self, client: Client) -> None:
        self._client = client
        bucket = f"{encode(client.address.namespace).replace('=', '_')}-bindings"
        self._stream, self._subject = f"KV_{bucket}", f"$KV.{bucket}."
        self._changes: Subscription | None = None
        self._is_read = False
        self._all: dict[str, Binding] = {}
        self._ours: dict[str, Binding] = {}
        """What was bound on this connection and is to stay."""
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
        """Bind, unless it is known already. Raises NatsUnavailable and QueueRefused."""
        await self._follow()
        if self._all.get(binding.key) != binding:
            await self._put(binding.key, binding.data)
        self._all[binding.key] = self._ours[binding.key] = binding

    async def remove(self, binding: Binding) -> None:
        """Unbind."""
        await self._follow()
        self._ours.pop(binding.key, None)
        if self._all.pop(binding.key, None) is not None:
            await self._put(binding.key, b"", headers=DELETED)

    async def remove_exchange(self, exchange: str) -> None:
        """Unbind every queue from an exchange."""
        await self._follow()
        for binding in [each for each in self._all.values() if each.exchange == exchange]:
            await self.remove(binding)

    async def keep(self) -> None:
        """Put back what was bound on this connection if the bucket was deleted or purged.

        Whoever connects later would find the queue unbound otherwise, and its messages would go nowhere.
        """
        if not self._ours:
            return
        async with self._lock:
            kept = await self._keys()
            lost = [binding for key, binding in self._ours.items() if key not in kept]
            if not lost:
                return
            log.warning("%d bindings of queues were deleted from NATS, and are made again", len(lost))
            await self._make_bucket()
        for binding in lost:
            await self._put(binding.key, binding.data)

    async def _put(self, key: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        subject = f"{self._subject}{key}"
        try:
            await self._client.publish(subject, data, message_id=uuid4().hex, headers=headers)
        except nats.js.errors.NoStreamResponseError:  # somebody deleted the bucket
            await self._make_bucket()
            await self._client.publish(subject, data, message_id=uuid4().hex, headers=headers)

    async def _follow(self) -> None:
        """Listen first, then read what is there: nothing falls between.

        Changes are heard as plain messages on the bucket's subjects. nats-py's watcher would keep a consumer at the
        server, and three tasks here, for each connection; it was seen to time out on a busy machine.
        """
        async with self._lock:
            if self._changes is None:
                await self._make_bucket()
                self._changes = await self._listen()
            if not self._is_read:
                for key in await self._keys():
                    await self._load(key)
                self._is_read = True

    async def _listen(self) -> Subscription:
        try:
            changes = await self._client.nc.subscribe(f"{self._subject}>", cb=self._changed)
            await self._client.nc.flush()
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(f"the bucket of bindings cannot be followed: {error}") from error
        return changes

    async def _make_bucket(self) -> None:
        """Unless it is there. Raises NatsUnavailable and QueueRefused."""
        try:
            await self._client.ask(f"STREAM.INFO.{self._stream}")
        except nats.js.errors.NotFoundError:
            await self._client.ask(
                f"STREAM.CREATE.{self._stream}",
                name=self._stream,
                subjects=[f"{self._subject}>"],
                storage=self._client.options.storage,
                num_replicas=self._client.options.replicas,
                retention="limits",
                discard="new",
                max_msgs=-1,
                max_bytes=-1,
                max_msg_size=-1,
                max_consumers=-1,
                max_msgs_per_subject=1,
                allow_rollup_hdrs=True,
                deny_delete=True,
            )

    async def _keys(self) -> set[str]:
        try:
            info = await self._client.ask(f"STREAM.INFO.{self._stream}", subjects_filter=">")
        except nats.js.errors.NotFoundError:
            return set()
        return {subject.removeprefix(self._subject) for subject in info["state"].get("subjects") or ()}

    async def _load(self, key: str) -> None:
        try:
            answer = await self._client.ask(f"STREAM.MSG.GET.{self._stream}", last_by_subj=f"{self._subject}{key}")
        except nats.js.errors.NotFoundError:
            return
        data = base64.b64decode(answer["message"].get("data") or "")  # none is left of what was deleted
        if data and key not in self._all:  # what was heard meanwhile is younger
            self._all[key] = Binding(**json.loads(data))

    async def _changed(self, message: Msg) -> None:
        key = message.subject.removeprefix(self._subject)
        if message.data:
            self._all[key] = Binding(**json.loads(message.data))
        else:
            self._all.pop(key, None)
            self._ours.pop(key, None)
