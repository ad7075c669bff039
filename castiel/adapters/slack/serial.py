"""One record after the other: Slack has no batches, and takes one message per second and channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.errors import (
    AuthenticationFailed,
    CastielError,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
    ReauthRequired,
)

WriteOne = Callable[[PushRecord], Awaitable[PushOutcome]]


async def one_by_one(records: Sequence[PushRecord], write: WriteOne) -> list[PushOutcome]:
    """An outcome per record. After a failure that the next record would meet too, no more are sent."""
    outcomes: list[PushOutcome] = []
    for record in records:
        try:
            outcomes.append(await write(record))
        except CastielError as error:
            if not _meets_all(error):
                outcomes.append(PushOutcome(record.key, record.external_id, error=error))
                continue
            rest = records[len(outcomes) :]
            failed = [PushOutcome(one.key, one.external_id, error=_unsent(error)) for one in rest[1:]]
            return [*outcomes, PushOutcome(record.key, record.external_id, error=error), *failed]
    return outcomes


def _meets_all(error: CastielError) -> bool:
    """A limit, a dead token or a lost connection; not what Slack says of the one record."""
    if not isinstance(error, ProviderError):
        return True
    if isinstance(error, ProviderUnavailable):
        return error.provider_code is None
    return isinstance(error, ProviderRateLimited | AuthenticationFailed | ReauthRequired)


def _unsent(error: CastielError) -> CastielError:
    """For records that were never sent nothing is unknown."""
    if not isinstance(error, ProviderUnavailable):
        return error
    return ProviderUnavailable("not sent, after a call before it failed", retry_after=error.retry_after)
