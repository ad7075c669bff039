"""The People API's batch writes: all or nothing, so a refused batch is sent again without those to blame.

Sources: https://developers.google.com/people/api/rest/v1/people/batchCreateContacts, …/batchUpdateContacts,
…/batchDeleteContacts, https://developers.google.com/people/api/rest/v1/BatchUpdateContactsErrorDetails
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from castiel.adapters.errors_table import ErrorDetail, classify
from castiel.adapters.google.dialect import RULES, error_of, objects, read_error
from castiel.adapters.http import HttpReply
from castiel.errors import CastielError, ProviderError

WRITE_BATCH = 200
DELETE_BATCH = 500
REFUSALS = (400, 404, 409)
"""Statuses of a batch that was refused as a whole because of some of its contacts."""

_STATUS = {
    3: ("INVALID_ARGUMENT", 400),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 429),
    9: ("FAILED_PRECONDITION", 400),
    10: ("ABORTED", 409),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
}
"""google.rpc.Code → its name, and the HTTP status it is answered with."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchRefused(Exception):
    """Nothing of the batch was done. ``blamed``: what Google says of some contacts, by index or name."""

    def __init__(self, error: ProviderError, blamed: Mapping[str, ProviderError]) -> None:
        super().__init__(str(error))
        self.error = error
        self.blamed = blamed


def check_batch(reply: HttpReply) -> None:
    """Raises :class:`BatchRefused` unless the batch was done."""
    detail = read_error(reply)
    if detail is None:
        return
    blamed: dict[str, ProviderError] = {}
    for entry in objects(error_of(reply).get("details")):
        errors = entry.get("contactErrors")
        for name, status in errors.items() if isinstance(errors, dict) else ():
            blamed[str(name)] = _error_of(status)
    raise BatchRefused(classify(RULES, "google", reply.status, detail), blamed)


async def in_batches(
    items: Sequence[Item],
    size: int,
    send: Callable[[Sequence[Item]], Awaitable[list[Result]]],
    blamed_for: Callable[[int, Item], str],
    failed: Callable[[Item, CastielError], Result],
) -> list[Result]:
    """Send everything in batches, one after another; an error spoils the batch (or item) it belongs to only.

    ``blamed_for`` is how a refusal names an item of the batch that was sent.
    """
    results: list[Result] = []
    waiting = [items[start : start + size] for start in range(0, len(items), size)][::-1]
    while waiting:
        batch = waiting.pop()
        try:
            results += await send(batch)
        except BatchRefused as refused:
            names = [blamed_for(index, item) for index, item in enumerate(batch)]
            guilty = [refused.blamed.get(name) for name in names]
            if len(batch) == 1:
                results.append(failed(batch[0], guilty[0] or refused.error))
                continue
            results += [failed(item, error) for item, error in zip(batch, guilty, strict=True) if error]
            rest = [item for item, error in zip(batch, guilty, strict=True) if not error]
            if len(rest) == len(batch):
                # Nobody is named: halve until the guilty one is alone.
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
            elif rest:
                waiting.append(rest)
        except CastielError as error:
            results += [failed(item, error) for item in batch]
    return results


def _error_of(status: Any) -> ProviderError:
    code = status.get("code") if isinstance(status, dict) else None
    name, http_status = _STATUS.get(code, ("UNKNOWN", 400)) if isinstance(code, int) else ("UNKNOWN", 400)
    return classify(RULES, "google", http_status, ErrorDetail(name))
