"""Records that failed on their own: stored whole, so that they can be replayed."""

from __future__ import annotations

from typing import Any

from castiel.domain.model import Document, UtcDatetime, UtcSecond, utc_date
from castiel.domain.results import RESULT_TTL_SECONDS


class FailedRecord(Document):
    """One record that its page went on without. In ``sync-results``, told apart by ``kind``."""

    kind: str = "failedRecord"
    tenant_id: str
    integration_id: str
    connection_id: str
    entity: str
    external_id: str
    fields: dict[str, Any]
    fields_left_out: bool | None = None
    """Too large to be stored: a replay reads the record from its provider."""
    modified_at: UtcDatetime | None = None
    version: str | None = None
    code: str
    message: str
    correlation_id: str | None = None
    executed_at: UtcSecond
    executed_on: str | None = None
    ttl: int = RESULT_TTL_SECONDS

    def partition(self) -> list[str]:
        """The values of ``/tenantId``, ``/executedOn``."""
        self.executed_on = self.executed_on or utc_date(self.executed_at)
        return [self.tenant_id, self.executed_on]
