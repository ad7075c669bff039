"""Transactional batches: all operations of one logical partition, or none.

Source: https://learn.microsoft.com/azure/cosmos-db/transactional-batch (100 operations, 2 MB; when one fails, the
others answer 424 and nothing is written).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import orjson

from . import items
from .catalog import Container
from .conditions import patch
from .errors import CosmosError, bad_request
from .items import Answer, Match
from .partition import Components

MAX_OPERATIONS = 100
MAX_BYTES = 2 * 1024 * 1024

Result = dict[str, Any]


@dataclass
class BatchFailed(Exception):
    """An operation failed; ``results`` has one entry per operation, 424 for those that did not."""

    results: list[Result]


def run_batch(
    connection: sqlite3.Connection,
    container: Container,
    key: Components,
    body: bytes,
    *,
    minimal: bool = False,
) -> list[Result]:
    """Carry out a batch; one result per operation, if ``minimal`` without the documents that were written.

    Raises BatchFailed (roll back), and 400 or 413 for the whole.
    """
    if len(body) > MAX_BYTES:
        raise CosmosError(413, "Batch request size is too large")
    operations = orjson.loads(body)
    if not operations or len(operations) > MAX_OPERATIONS:
        raise bad_request(f"A batch takes 1 to {MAX_OPERATIONS} operations.")
    results: list[Result] = []
    for operation in operations:
        try:
            answer = _run(connection, container, key, operation)
        except CosmosError as error:
            raise BatchFailed(_failed(len(operations), len(results), error)) from None
        results.append(_result(answer, minimal=minimal and operation.get("operationType") != "Read"))
    return results


def _run(
    connection: sqlite3.Connection, container: Container, key: Components, operation: dict[str, Any]
) -> Answer:
    kind, name, body = operation.get("operationType"), operation.get("id", ""), operation.get("resourceBody")
    match = Match(operation.get("ifMatch"), operation.get("ifNoneMatch"))
    if kind == "Create":
        return items.create(connection, container, key, body)
    if kind == "Upsert":
        return items.upsert(connection, container, key, body, match)
    if kind == "Replace":
        return items.replace(connection, container, key, name, body, match)
    if kind == "Read":
        return items.read(connection, container, key, name, match)
    if kind == "Delete":
        return items.delete(connection, container, key, name, match)
    if kind == "Patch":
        return patch(connection, container, key, name, body, match)
    raise bad_request(f"Batch operation '{kind}' is not supported.")


def _result(answer: Answer, *, minimal: bool) -> Result:
    result: Result = {"statusCode": answer.status, "requestCharge": answer.charge}
    if answer.etag is not None:
        result["eTag"] = answer.etag
    if answer.body is not None and not minimal:
        result["resourceBody"] = orjson.Fragment(answer.body)
    return result


def _failed(count: int, at: int, error: CosmosError) -> list[Result]:
    results: list[Result] = [{"statusCode": 424, "requestCharge": 0} for _ in range(count)]
    results[at] = {"statusCode": error.status, "subStatusCode": error.sub_status, "requestCharge": 1.0}
    return results
