"""Whether a secret is where none may be: every test over the local stack asks this of what was stored, sent and
logged. No redaction filter helps here: what is searched is what was said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import httpx
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from redis.asyncio import Redis

from castiel.azure.cosmos_containers import CONTAINERS
from castiel.bootstrap import Services
from infra.local.stack import LocalStack
from tests.support.log_watch import TOKEN
from tests.support.secrets import vault_secrets


def leaks(places: Mapping[str, str], secrets: Collection[str]) -> list[tuple[str, str]]:
    """Which place holds which secret (its first characters), known by value or by its looks."""
    known = {
        (place, secret[:4] + "…") for place, text in places.items() for secret in secrets if secret in text
    }
    looks = {(place, found[0][:5] + "…") for place, text in places.items() for found in TOKEN.finditer(text)}
    return sorted(known | looks)


async def assert_nothing_leaked(stack: LocalStack, services: Services, said: str = "") -> None:
    """Search what the app left in every server that still runs. ``said``: what its processes logged."""
    ended = set(stack.ended())
    secrets = set() if "keyvault" in ended else await vault_secrets(services)
    places = {"logs": said}
    for server, name, read in (
        ("cosmos", "documents", documents(services)),
        ("redis", "redis", redis_contents(services)),
        ("eventgrid", "events", events(services)),
        ("servicebus", "messages", messages(stack, services)),
    ):
        if server in ended:
            read.close()
        else:
            places[name] = await read
    if found := leaks(places, secrets):
        raise AssertionError(f"secrets where none may be, as (place, first characters): {found}")


async def documents(services: Services) -> str:
    """Every document of every container."""
    database = services.clients.cosmos.get_database_client(services.settings.cosmos_database)
    rows = [
        json.dumps(row)
        for container in CONTAINERS
        async for row in database.get_container_client(container.name).query_items("SELECT * FROM c")
    ]
    return "\n".join(rows)


async def redis_contents(services: Services) -> str:
    """Every key with its value, whatever bytes they are."""
    read: dict[bytes, Callable[[Redis, bytes], Any]] = {
        b"string": lambda redis, key: redis.get(key),
        b"hash": lambda redis, key: redis.hgetall(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1),
        b"set": lambda redis, key: redis.smembers(key),
        b"list": lambda redis, key: redis.lrange(key, 0, -1),
        b"stream": lambda redis, key: redis.xrange(key),
    }
    lines = []
    async with Redis.from_url(services.settings.redis_url.get_secret_value()) as redis:
        async for key in redis.scan_iter("*"):
            kind = await redis.type(key)
            if kind != b"none":  # it ended meanwhile
                lines.append(f"{key!r} {await read[kind](redis, key)!r}")
    return "\n".join(lines)


async def events(services: Services) -> str:
    """Every event that was published."""
    url = (services.settings.event_grid_topic_endpoint or "").replace("/api/events", "/_events")
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).text


async def messages(stack: LocalStack, services: Services) -> str:
    """What waits in the queues and in their dead letters. A link costs the SDK half a second: empty ones have none."""
    port = stack.ready("servicebus")["statusPort"]
    async with httpx.AsyncClient(trust_env=False) as client:
        queues = (await client.get(f"http://{stack.host}:{port}/status")).json()["queues"]
    said = io.StringIO()
    connection = services.settings.service_bus_connection_string
    assert connection is not None
    async with ServiceBusClient.from_connection_string(connection.get_secret_value()) as bus:
        for queue, counts in queues.items():
            dead = counts.pop("deadLettered")
            for count, sub_queue in ((sum(counts.values()), None), (dead, ServiceBusSubQueue.DEAD_LETTER)):
                if not count:
                    continue
                async with bus.get_queue_receiver(queue, sub_queue=sub_queue) as receiver:
                    for message in await receiver.peek_messages(max_message_count=250):
                        said.write(b"".join(message.body).decode() + repr(message) + "\n")
    return said.getvalue()
