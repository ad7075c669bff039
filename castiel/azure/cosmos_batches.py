"""Transactional batches in which one document's failure is its own.

A batch is written whole or not at all (at most 100 operations and 2 MB:
https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch). Here what fails is set apart with its error, and
the rest is sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic

from azure.core.exceptions import AzureError
from azure.cosmos.exceptions import CosmosBatchOperationError

from castiel.azure.cosmos_client import Collection, D, translate
from castiel.errors import AlreadyExists, CastielError, Conflict, DocumentTooLarge, StoreUnavailable

MAX_OPERATIONS = 100
MAX_BYTES = 1_500_000
"""Of documents whose size was only estimated: well under the 2 MB."""
TOO_LARGE = 413


class Batches(Generic[D]):
    """Writes of one container's documents: those without an ETag are new, the others replace what was read."""

    def __init__(self, documents: Collection[D]) -> None:
        self._documents = documents

    async def write_each(
        self, partition: str | list[str], documents: Sequence[D]
    ) -> list[CastielError | None]:
        """Write documents of one partition; the error of each, in order. A written one has its new ETag.

        Raises what the store as a whole did (:class:`~castiel.errors.StoreUnavailable`).
        """
        errors: dict[int, CastielError | None] = {}
        bodies = [self._documents.body(document) for document in documents]
        for start in range(0, len(documents), MAX_OPERATIONS):
            positions = list(range(start, min(start + MAX_OPERATIONS, len(documents))))
            await self._write_some(partition, positions, documents, bodies, errors)
        return [errors[position] for position in range(len(documents))]

    async def _write_some(
        self,
        partition: str | list[str],
        positions: list[int],
        documents: Sequence[D],
        bodies: Sequence[dict[str, Any]],
        errors: dict[int, CastielError | None],
    ) -> None:
        """A batch over the service's size is refused whole, and then halved: measuring each would cost more.

        A document that is too large by itself fails alone.
        """
        while positions:
            operations = [_operation(documents[position], bodies[position]) for position in positions]
            try:
                results = await self._execute(operations, partition)
            except CosmosBatchOperationError as error:
                errors[positions.pop(error.error_index)] = _failure(error)
                continue
            except (AzureError, TimeoutError) as error:
                too_large = getattr(error, "status_code", None) == TOO_LARGE
                if too_large and len(positions) == 1:
                    errors[positions[0]] = DocumentTooLarge()
                    return
                if too_large:
                    for half in (positions[: len(positions) // 2], positions[len(positions) // 2 :]):
                        await self._write_some(partition, half, documents, bodies, errors)
                    return
                raise translate(error) from error
            for position, result in zip(positions, results, strict=True):
                documents[position].etag = _etag(result)
                errors[position] = None
            return

    async def write_together(self, partition: str | list[str], documents: Sequence[D]) -> None:
        """Write all or none. Raises the error of the one that could not be written."""
        operations = [_operation(document, self._documents.body(document)) for document in documents]
        try:
            results = await self._execute(operations, partition)
        except CosmosBatchOperationError as error:
            raise _failure(error) from error
        except (AzureError, TimeoutError) as error:
            raise translate(error) from error
        for document, result in zip(documents, results, strict=True):
            document.etag = _etag(result)

    async def _execute(
        self, operations: Sequence[tuple[Any, ...]], partition: str | list[str]
    ) -> Sequence[Mapping[str, Any]]:
        """One batch. The answer's ETags are all that is wanted of it, not the documents that were just sent."""
        return await self._documents.container.execute_item_batch(
            operations, partition, response_hook=self._documents.charge, no_response=True
        )


def _operation(document: D, body: dict[str, Any]) -> tuple[Any, ...]:
    if document.etag is None:
        return ("create", (body,))
    return ("replace", (document.id, body), {"if_match_etag": document.etag})


def _etag(result: Mapping[str, Any]) -> str:
    return str(result.get("eTag") or result["resourceBody"]["_etag"])


def _failure(error: CosmosBatchOperationError) -> CastielError:
    status = int(error.operation_responses[error.error_index]["statusCode"])
    if status == 409:
        return AlreadyExists()
    if status in (404, 412):
        return Conflict()
    if status == TOO_LARGE:
        return DocumentTooLarge()
    if status in (429, 449) or status >= 500:
        return StoreUnavailable(f"Cosmos DB: status {status}")
    return CastielError(f"Cosmos DB refused a document with status {status}")


def by_size(sized: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Bodies in parts that fit a transactional batch, by operations and by bytes; each comes with about how large it is."""
    batch: list[dict[str, Any]] = []
    total = 0
    for size, body in sized:
        if batch and (len(batch) == MAX_OPERATIONS or total + size > MAX_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(body)
        total += size
    if batch:
        yield batch
