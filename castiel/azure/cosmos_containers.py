"""The containers of the database, as data: the local stack and the tests of the infrastructure read it.

Two paths make a hierarchical partition key
(https://learn.microsoft.com/azure/cosmos-db/hierarchical-partition-keys).
"""

from __future__ import annotations

from dataclasses import dataclass

_DAY = 86_400


@dataclass(frozen=True)
class ContainerDefinition:
    """One container: its name, the paths of its partition key, and how many seconds an item lives (None: for ever)."""

    name: str
    partition_key: tuple[str, ...]
    default_ttl: int | None = None


CONTAINERS: tuple[ContainerDefinition, ...] = (
    ContainerDefinition("sync-tasks", ("/tenantId",)),
    ContainerDefinition("sync-results", ("/tenantId", "/executedOn"), default_ttl=30 * _DAY),
    ContainerDefinition("shards", ("/tenantId", "/shardType")),
    ContainerDefinition("connections", ("/tenantId",)),
    ContainerDefinition("credentials", ("/tenantId",)),
    ContainerDefinition("conversion-schemas", ("/tenantId",)),
    ContainerDefinition("conflicts", ("/tenantId",)),
    ContainerDefinition("webhooks", ("/id",)),
    ContainerDefinition("webhook-audit", ("/registrationId", "/receivedOn"), default_ttl=30 * _DAY),
    ContainerDefinition("token-refresh", ("/id",), default_ttl=90 * _DAY),
)
