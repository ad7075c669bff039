"""A run of TokenRefresher that outlasts one invocation: the message that continues it."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from castiel.domain.credentials import Credential
from castiel.domain.model import Model, UtcDatetime
from castiel.domain.results import RefreshAudit, RefreshResult
from castiel.errors import InvalidMessage

KIND = "tokenRefresh"
"""The application property ``kind`` of a continuation on ``sync-inbound``."""
RESULTS_PER_DOCUMENT = 2_000
"""About 400 kB: a Cosmos DB item ends at 2 MB (https://learn.microsoft.com/azure/cosmos-db/concepts-limits)."""


class RefreshMessage(Model):
    """Go on with a run. ``number`` counts its invocations from 0; ``started_at`` is when the first began."""

    run_id: str
    number: int
    started_at: UtcDatetime
    horizon: UtcDatetime

    def next(self) -> RefreshMessage:
        """The message for the invocation after this one."""
        return self.model_copy(update={"number": self.number + 1})


def parse_refresh(body: bytes) -> RefreshMessage:
    """Read a continuation. Raises :class:`InvalidMessage`."""
    try:
        return RefreshMessage.model_validate_json(body)
    except ValidationError:
        raise InvalidMessage("the body is no continuation of a token refresh") from None


def attempted_since(credential: Credential, moment: datetime) -> bool:
    """Whether somebody has tried to refresh it since then: a run tries each credential once."""
    return credential.last_attempt is not None and credential.last_attempt.started_at >= moment


def split_audit(audit: RefreshAudit) -> list[RefreshAudit]:
    """The audit as documents that fit: the totals with the first results, then the others."""
    results = audit.results
    chunks: list[list[RefreshResult]] = [
        results[at : at + RESULTS_PER_DOCUMENT] for at in range(0, len(results), RESULTS_PER_DOCUMENT)
    ] or [[]]
    first = audit.model_copy(update={"results": chunks[0], "parts": len(chunks) if len(chunks) > 1 else None})
    others = [
        RefreshAudit(
            id=f"{audit.id}-part-{number}",
            executed_at=audit.executed_at,
            part_of=audit.id,
            results=chunk,
            correlation_id=audit.correlation_id,
        )
        for number, chunk in enumerate(chunks[1:], start=2)
    ]
    return [first, *others]
