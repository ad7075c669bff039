"""Looks at each service Castiel runs on, with the rights it needs there; changes nothing that anybody reads.

For ``castiel doctor``. A probe raises Castiel's errors: :class:`~castiel.errors.DependencyUnavailable` when there
is no answer, :class:`~castiel.errors.ConfigurationError` when the answer is that something is missing or forbidden.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.cosmos.aio import CosmosClient
from azure.eventgrid.aio import EventGridPublisherClient
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)
from redis.asyncio import Redis

from castiel.azure.cosmos_client import translate
from castiel.azure.cosmos_containers import ContainerDefinition
from castiel.azure.event_grid import SOURCE
from castiel.azure.key_vault import KeyVault
from castiel.azure.redis_client import guarded
from castiel.errors import (
    CastielError,
    ConfigurationError,
    NotFound,
    QueueUnavailable,
    TopicUnavailable,
    VaultUnavailable,
)

NOBODY = "castiel-doctor"
"""An id and partition that no document has, and the name of a secret that nothing reads."""
EVENT_TYPE = "castiel.doctor.checked"


async def probe_database(client: CosmosClient, database: str) -> None:
    """The account answers, and has the database."""
    try:
        await client.get_database_client(database).read()
    except (AzureError, TimeoutError) as error:
        raise _cosmos(error, f"database {database}") from error


async def probe_container(
    client: CosmosClient, database: str, name: str, definition: ContainerDefinition
) -> None:
    """The container is as it has to be, and this identity may write to it."""
    container = client.get_database_client(database).get_container_client(name)
    try:
        properties = await container.read()
    except (AzureError, TimeoutError) as error:
        raise _cosmos(error, f"container {name}") from error
    paths = tuple(properties["partitionKey"]["paths"])
    if paths != definition.partition_key:
        raise ConfigurationError(
            f"container {name}: its partition key is {_joined(paths)}, not {_joined(definition.partition_key)};"
            " a partition key can't be changed, so create the container anew"
        )
    ttl = properties.get("defaultTtl")
    if ttl != definition.default_ttl:
        raise ConfigurationError(
            f"container {name}: its default time to live is {ttl or 'off'}, not {definition.default_ttl or 'off'}"
        )
    try:
        # Of what does not exist: 404 says that we might have.
        await container.delete_item(NOBODY, [NOBODY] * len(paths) if len(paths) > 1 else NOBODY)
    except (AzureError, TimeoutError) as error:
        translated = _cosmos(error, f"container {name}")
        if getattr(error, "status_code", None) != 404:
            raise translated from error


def _joined(paths: tuple[str, ...]) -> str:
    return ", ".join(paths)


def _cosmos(error: AzureError | TimeoutError, what: str) -> CastielError:
    status = getattr(error, "status_code", None)
    if status == 404:
        return ConfigurationError(f"{what}: it does not exist")
    if status in (401, 403) or isinstance(error, ClientAuthenticationError):
        return ConfigurationError(f"{what}: this identity may not use it")
    return translate(error)


async def probe_queue(client: ServiceBusClient, queue: str) -> None:
    """The queue can be read (a peek takes nothing) and sent to (opening the link needs the right)."""
    try:
        async with client.get_queue_receiver(queue) as receiver:
            await receiver.peek_messages(max_message_count=1, timeout=10)
        async with client.get_queue_sender(queue) as sender:
            await sender.create_message_batch()
    except MessagingEntityNotFoundError as error:
        raise ConfigurationError(f"queue {queue}: it does not exist") from error
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError, ClientAuthenticationError) as error:
        raise ConfigurationError(f"queue {queue}: this identity may not send and listen") from error
    except (AzureError, TimeoutError, OSError) as error:
        raise QueueUnavailable(f"queue {queue}: {type(error).__name__}") from error


async def probe_vault(vault: KeyVault) -> None:
    """A secret of the doctor's own is written, read, and made unreadable again."""
    written = await vault.set(NOBODY, uuid.uuid4().hex, tags={"purpose": "castiel doctor"})
    try:
        read = await vault.get(NOBODY)
    except NotFound as error:
        raise VaultUnavailable("Key Vault: what was just written can't be read") from error
    await vault.disable(NOBODY, written.version)
    if read.version == written.version and read.value != written.value:
        raise VaultUnavailable("Key Vault: a secret reads otherwise than it was written")


async def probe_redis(redis: Redis) -> datetime:
    """It answers, runs scripts and writes; returns its clock."""
    key = f"castiel:doctor:{uuid.uuid4().hex}"
    script = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return redis.call('GET', KEYS[1])"
    answer: Any = await guarded(redis.eval(script, 1, key))
    if answer not in ("1", b"1"):
        raise ConfigurationError("Redis: it runs scripts, but does not keep what they write")
    seconds, microseconds = await guarded(redis.time())
    return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(microseconds))


async def probe_topic(client: EventGridPublisherClient) -> None:
    """The topic takes an event (``castiel.doctor.checked``)."""
    event: CloudEvent[dict[str, Any]] = CloudEvent(source=SOURCE, type=EVENT_TYPE, subject="doctor", data={})
    try:
        await client.send([event])
    except HttpResponseError as error:
        if error.status_code in (401, 403):
            raise ConfigurationError("Event Grid: this identity may not publish") from error
        if error.status_code == 404:
            raise ConfigurationError("Event Grid: there is no such topic") from error
        raise TopicUnavailable(f"Event Grid: status {error.status_code}") from error
    except (AzureError, TimeoutError, OSError) as error:
        raise TopicUnavailable(f"Event Grid: {type(error).__name__}") from error
