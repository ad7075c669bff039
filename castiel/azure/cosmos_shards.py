"""The shards container: point reads, look-ups by key, and transactional batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from azure.cosmos.aio import ContainerProxy

from castiel.azure import cosmos_client as cosmos
from castiel.azure.cosmos_batches import Batches
from castiel.domain.model import format_second, format_utc
from castiel.domain.shards import Shard, shard_type_of
from castiel.errors import NotFound
from castiel.ports.stores import KeyHit, LiveReference, Meter, SaveOutcome

T = TypeVar("T")

KEYS_PER_QUERY = 100
REFERENCES_PER_PAGE = 1000


class CosmosShards:
    """:class:`~castiel.ports.stores.ShardStore` on Cosmos DB."""

    def __init__(self, container: ContainerProxy) -> None:
        self._shards = cosmos.Collection(container, Shard, lambda shard: [shard.tenant_id, shard.shard_type])
        self._batches = Batches(self._shards)

    def metered(self) -> AbstractContextManager[Meter]:
        return cosmos.metered()

    async def get(self, tenant_id: str, shard_id: str) -> Shard:
        shard_type = shard_type_of(shard_id)
        if shard_type is not None:
            found = await self._shards.find(shard_id, [tenant_id, shard_type])
            if found is not None:
                return found
        async for shard in self._shards.query(
            "SELECT * FROM c WHERE c.id = @id", {"id": shard_id}, partition=[tenant_id]
        ):
            return shard
        raise NotFound("no such shard")

    async def get_many(self, tenant_id: str, shard_ids: Collection[str]) -> list[Shard]:
        by_type: dict[str | None, list[str]] = defaultdict(list)
        for shard_id in dict.fromkeys(shard_ids):
            by_type[shard_type_of(shard_id)].append(shard_id)
        found: list[Shard] = []
        for shard_type, ids in by_type.items():
            partition = [tenant_id] if shard_type is None else [tenant_id, shard_type]
            for some in _chunks(ids, KEYS_PER_QUERY):
                listed, parameters = cosmos.in_list("i", some)
                sql = f"SELECT * FROM c WHERE c.id IN {listed}"  # noqa: S608  (parameter names only)
                found += [shard async for shard in self._shards.query(sql, parameters, partition=partition)]
        missing = set(shard_ids) - {shard.id for shard in found}
        for shard_id in missing:
            if (shard_type := shard_type_of(shard_id)) and shard_type.count("-"):
                try:
                    found.append(await self.get(tenant_id, shard_id))
                except NotFound:
                    continue
        return found

    async def by_references(self, tenant_id: str, shard_type: str, keys: Collection[str]) -> list[Shard]:
        found: dict[str, Shard] = {}
        for some in _chunks(list(dict.fromkeys(keys)), KEYS_PER_QUERY):
            listed, parameters = cosmos.in_list("k", some)
            sql = f"SELECT VALUE c FROM c JOIN k IN c.referenceKeys WHERE k IN {listed}"  # noqa: S608
            async for shard in self._shards.query(sql, parameters, partition=[tenant_id, shard_type]):
                found.setdefault(shard.id, shard)
        return list(found.values())

    async def by_blocking_keys(
        self, tenant_id: str, shard_type: str, keys: Collection[str], limit: int
    ) -> list[KeyHit]:
        listed, parameters = cosmos.in_list("k", list(dict.fromkeys(keys)))
        sql = (
            f"SELECT TOP {int(limit)} c.id, k FROM c JOIN k IN c.blockingKeys"  # noqa: S608
            f" WHERE k IN {listed} AND c.deleted = false"
        )
        rows = self._shards.rows(sql, parameters, partition=[tenant_id, shard_type], page_size=limit)
        return [KeyHit(row["id"], row["k"]) async for row in rows]

    async def save(self, shards: Sequence[Shard]) -> list[SaveOutcome]:
        outcomes: dict[int, SaveOutcome] = {}
        by_partition: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, shard in enumerate(shards):
            by_partition[(shard.tenant_id, shard.shard_type)].append(index)
        for partition, indexes in by_partition.items():
            errors = await self._batches.write_each(list(partition), [shards[index] for index in indexes])
            for index, error in zip(indexes, errors, strict=True):
                outcomes[index] = SaveOutcome(shards[index], error)
        return [outcomes[index] for index in range(len(shards))]

    async def save_together(self, shards: Sequence[Shard]) -> None:
        await self._batches.write_together([shards[0].tenant_id, shards[0].shard_type], shards)

    async def linking_to(self, tenant_id: str, shard_id: str, *, limit: int) -> list[str]:
        sql = (
            f"SELECT TOP {int(limit)} VALUE c.id FROM c WHERE c.deleted = false AND EXISTS("  # noqa: S608
            "SELECT VALUE l FROM l IN c.links WHERE l.shardId = @id AND l.relation = 'derived')"
        )
        rows = self._shards.rows(sql, {"id": shard_id}, partition=[tenant_id])
        return [row async for row in rows]

    async def with_old_outbox(self, before: datetime) -> AsyncIterator[Shard]:
        sql = "SELECT * FROM c WHERE c.outboxSince <= @before ORDER BY c.outboxSince"
        async for shard in self._shards.query(sql, {"before": format_second(before)}):
            yield shard

    async def changed_since(
        self, tenant_id: str, shard_type: str, since: datetime | None
    ) -> AsyncIterator[Shard]:
        sql = "SELECT * FROM c WHERE c.updatedAt >= @since ORDER BY c.updatedAt"
        moment = format_utc(since) if since else ""
        async for shard in self._shards.query(sql, {"since": moment}, partition=[tenant_id, shard_type]):
            yield shard

    async def references_to(
        self, tenant_id: str, shard_type: str, connection_id: str, entity: str
    ) -> AsyncIterator[LiveReference]:
        sql = (
            "SELECT r.externalId, r.deleted, r.pulledAt, r.pushedAt FROM c JOIN r IN c.references"
            " WHERE r.connectionId = @connection AND r.entity = @entity AND c.deleted = false"
        )
        parameters = {"connection": connection_id, "entity": entity}
        rows = self._shards.rows(
            sql, parameters, partition=[tenant_id, shard_type], page_size=REFERENCES_PER_PAGE
        )
        async for row in rows:
            if not row.get("deleted"):
                yield LiveReference(row["externalId"], _moment(row, "pulledAt"), _moment(row, "pushedAt"))

    async def count(self, tenant_id: str, shard_type: str | None = None) -> int:
        partition = [tenant_id, shard_type] if shard_type else [tenant_id]
        sql = "SELECT VALUE COUNT(1) FROM c WHERE c.deleted = false"
        return int(await self._shards.value(sql, partition=partition) or 0)


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(row[name]) if name in row else None


def _chunks(values: Sequence[T], size: int) -> Iterable[list[T]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
