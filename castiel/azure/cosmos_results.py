"""The ``sync-results`` container: what executions came to, and the records that failed in them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_batches import by_size
from castiel.azure.cosmos_client import Collection, each, guarded
from castiel.domain.failures import FailedRecord
from castiel.domain.model import format_second
from castiel.domain.results import PushResult, SyncResult
from castiel.errors import DocumentTooLarge


class CosmosResults:
    """:class:`~castiel.ports.stores.ResultStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._inbound = Collection(container, SyncResult, SyncResult.partition)
        self._outbound = Collection(container, PushResult, PushResult.partition)

    async def put(self, result: SyncResult | PushResult) -> None:
        if isinstance(result, SyncResult):
            await self._inbound.put(result)
        else:
            await self._outbound.put(result)

    async def put_many(self, results: Sequence[SyncResult | PushResult]) -> None:
        by_partition: dict[tuple[str, ...], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for result in results:
            by_partition[tuple(result.partition())].append((_result_bytes(result), result.to_json()))
        for partition, sized in by_partition.items():
            for bodies in by_size(sized):
                operations = [("upsert", (body,)) for body in bodies]
                await guarded(self._inbound.container.execute_item_batch(operations, list(partition)))

    async def of_tenant(self, tenant_id: str, since: datetime) -> AsyncIterator[SyncResult | PushResult]:
        sql = "SELECT * FROM c WHERE c.executedAt >= @since AND NOT IS_DEFINED(c.kind) ORDER BY c.executedAt DESC"
        async for row in self._inbound.rows(sql, {"since": format_second(since)}, partition=[tenant_id]):
            yield PushResult.model_validate(row) if "operation" in row else SyncResult.model_validate(row)


class CosmosFailedRecords:
    """:class:`~castiel.ports.stores.FailedRecordStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._records = Collection(container, FailedRecord, FailedRecord.partition)

    async def put_many(self, records: Sequence[FailedRecord]) -> None:
        await each(self._put, records)

    async def _put(self, record: FailedRecord) -> None:
        try:
            await self._records.put(record)
        except DocumentTooLarge:
            await self._records.put(record.model_copy(update={"fields": {}, "fields_left_out": True}))

    async def delete(self, record: FailedRecord) -> None:
        await self._records.delete(record)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[FailedRecord]:
        sql = "SELECT * FROM c WHERE c.kind = 'failedRecord'"
        async for record in self._records.query(sql, partition=[tenant_id]):
            yield record


def _result_bytes(result: SyncResult | PushResult) -> int:
    """About how large the result is: what is large in it is the message that was given up."""
    return 1_500 + (len(json.dumps(result.given_up_message)) if result.given_up_message else 0)
