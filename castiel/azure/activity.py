"""What was written for a tenant since a moment, by the database's own time of each write. For ``castiel tail``.

``_ts`` is a system property, in whole seconds, and always indexed
(https://learn.microsoft.com/azure/cosmos-db/index-policy#including-and-excluding-property-paths).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_client import guarded_rows
from castiel.domain.model import SYSTEM_PROPERTIES

OVERLAP_SECONDS = 5
"""Partitions' clocks differ by less. What is read twice is recognised by its ETag."""


@dataclass(frozen=True)
class Source:
    """A part of a container. ``kind``: what its documents are called here."""

    kind: str
    container: ContainerProxy
    partition: str | list[str]
    condition: str = "true"


@dataclass(frozen=True)
class Written:
    """A document as it was written at a moment."""

    kind: str
    at: datetime
    document: dict[str, Any]


@dataclass
class Follower:
    """Reads a source again and again; each version of a document is given once."""

    source: Source
    since: int
    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def read(self) -> AsyncIterator[Written]:
        """What was written since the last time, oldest first. Raises :class:`~castiel.errors.StoreUnavailable`."""
        sql = f"SELECT * FROM c WHERE c._ts >= @since AND {self.source.condition} ORDER BY c._ts"  # noqa: S608
        found = [row async for row in self._rows(sql)]
        for row in found:
            etag, at = str(row.get("_etag")), int(row["_ts"])
            if self._seen.get(row["id"], ("", 0))[0] == etag:
                continue
            self._seen[row["id"]] = (etag, at)
            document = {name: each for name, each in row.items() if name not in (*SYSTEM_PROPERTIES, "_etag")}
            yield Written(self.source.kind, datetime.fromtimestamp(at, UTC), document)
        if found:
            self._advance(int(found[-1]["_ts"]))

    def _advance(self, newest: int) -> None:
        self.since = max(self.since, newest - OVERLAP_SECONDS)
        self._seen = {name: (etag, at) for name, (etag, at) in self._seen.items() if at >= self.since}

    def _rows(self, sql: str) -> AsyncIterator[dict[str, Any]]:
        return guarded_rows(
            self.source.container.query_items(
                sql,
                parameters=[{"name": "@since", "value": self.since}],
                partition_key=self.source.partition,
                max_item_count=100,
            )
        )


def followers(sources: Sequence[Source], since: datetime) -> list[Follower]:
    """One for each source, from a moment on."""
    return [Follower(source, int(since.timestamp())) for source in sources]
