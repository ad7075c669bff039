"""Cosmos DB: one client per process, its failures as Castiel's errors, and a typed view of a container."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar
from urllib.request import getproxies_environment

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import ContainerProxy, CosmosClient
from pydantic import ValidationError

from castiel.domain.ids import check_document_id, is_document_id
from castiel.domain.model import Document
from castiel.errors import AlreadyExists, CastielError, Conflict, DocumentTooLarge, NotFound, StoreUnavailable
from castiel.ports.stores import Meter

logger = logging.getLogger(__name__)

PAGE_SIZE = 100
ROUND_LENGTH = 25

D = TypeVar("D", bound=Document)
T = TypeVar("T")
PartitionKey = str | list[str]
Parameters = Mapping[str, Any]


def translate(error: AzureError | TimeoutError) -> CastielError:
    """Castiel's error for one of the SDK's, by status code.

    https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
    """
    status = getattr(error, "status_code", None)
    if status == 404:
        return NotFound("no such document")
    if status == 409:
        return AlreadyExists()
    if status == 412:
        return Conflict()
    if status == 413:
        return DocumentTooLarge()
    if status is None or status in (0, 408, 410, 429, 449) or status >= 500:
        return StoreUnavailable(f"Cosmos DB: {_reason(error, status)}", retry_after=_retry_after(error))
    return CastielError(f"Cosmos DB answered {status}; the request was refused")


def _reason(error: AzureError | TimeoutError, status: int | None) -> str:
    if status:
        return f"status {status}"
    named = isinstance(error, ServiceRequestError | ServiceResponseError)
    return "no connection" if named else type(error).__name__


def _retry_after(error: BaseException) -> float | None:
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    milliseconds = headers.get("x-ms-retry-after-ms")
    return float(milliseconds) / 1000 if milliseconds else None


async def guarded(call: Awaitable[T]) -> T:
    """Await an SDK call; raise Castiel's errors instead of the SDK's."""
    try:
        return await call
    except (AzureError, TimeoutError) as error:
        raise translate(error) from error


async def guarded_rows(pages: AsyncIterable[T]) -> AsyncIterator[T]:
    """A query's rows; raise Castiel's errors instead of the SDK's."""
    try:
        async for row in pages:
            yield row
    except (AzureError, TimeoutError) as error:
        raise translate(error) from error


_METERS: ContextVar[tuple[Meter, ...]] = ContextVar("request unit meters", default=())


@contextmanager
def metered() -> Iterator[Meter]:
    """Count the request units of this task and of the tasks it starts: others of the process have their own."""
    meter = Meter()
    token = _METERS.set((*_METERS.get(), meter))
    try:
        yield meter
    finally:
        _METERS.reset(token)


class Collection(Generic[D]):
    """A container as documents of one model."""

    def __init__(
        self, container: ContainerProxy, model: type[D], partition: Callable[[D], PartitionKey]
    ) -> None:
        self.container = container
        self.model = model
        self.partition = partition

    def charge(self, headers: Mapping[str, Any], _: Any = None) -> None:
        """Add a response's request units to the meters of whoever waits for it."""
        units = float(headers.get("x-ms-request-charge", 0) or 0)
        for meter in _METERS.get():
            meter.units += units

    async def get(self, document_id: str, partition: PartitionKey) -> D:
        """A point read."""
        if not is_document_id(document_id):
            raise NotFound("no such document")
        data = await guarded(self.container.read_item(document_id, partition, response_hook=self.charge))
        return self.model.model_validate(data)

    async def find(self, document_id: str, partition: PartitionKey) -> D | None:
        """A point read that may find nothing."""
        try:
            return await self.get(document_id, partition)
        except NotFound:
            return None

    async def create(self, document: D) -> D:
        """Write a new document. Raises :class:`~castiel.errors.InvalidInput` for an id that it can't have."""
        check_document_id(document.id)
        data = await guarded(self.container.create_item(self.body(document), response_hook=self.charge))
        return self._written(document, data)

    async def replace(self, document: D) -> D:
        """Write, if nobody else did since it was read."""
        self.partition(document)
        data = await guarded(
            self.container.replace_item(
                document.id,
                self.body(document),
                etag=_required_etag(document),
                match_condition=MatchConditions.IfNotModified,
                response_hook=self.charge,
            )
        )
        return self._written(document, data)

    async def put(self, document: D) -> D:
        """Write, whatever is there: for documents whose content follows from their id."""
        self.partition(document)
        data = await guarded(self.container.upsert_item(self.body(document), response_hook=self.charge))
        return self._written(document, data)

    async def delete(self, document: D) -> None:
        """Delete, if nobody else wrote since it was read. What is gone already is fine."""
        try:
            await guarded(
                self.container.delete_item(
                    document.id,
                    self.partition(document),
                    etag=_required_etag(document),
                    match_condition=MatchConditions.IfNotModified,
                    response_hook=self.charge,
                )
            )
        except NotFound:
            return

    async def query(
        self, sql: str, parameters: Parameters | None = None, *, partition: PartitionKey | None = None
    ) -> AsyncIterator[D]:
        """Documents, streamed by pages.

        Without a partition it crosses all of them, and passes over what can't be read: one tenant's broken document
        must not keep the others' from being found.
        """
        async for data in self.rows(sql, parameters, partition=partition):
            try:
                document = self.model.model_validate(data)
            except ValidationError as error:
                if partition is not None:
                    raise
                self._passed_over(data, error)
                continue
            yield document

    def _passed_over(self, data: Mapping[str, Any], error: ValidationError) -> None:
        """Say which one and what is wrong with it, without its values."""
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        logger.error(
            "%s can't be read and is passed over: %s",
            self.model.__name__,
            ", ".join(".".join(map(str, problem["loc"])) or "document" for problem in problems[:10]),
            extra={
                "alert": "document_unreadable",
                "documentId": data.get("id"),
                "tenantId": data.get("tenantId"),
            },
        )

    async def rows(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        partition: PartitionKey | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Any]:
        """Plain values, streamed by pages."""
        named: list[dict[str, object]] = [
            {"name": f"@{name}", "value": v} for name, v in (parameters or {}).items()
        ]
        where: dict[str, Any] = {} if partition is None else {"partition_key": partition}
        pages = self.container.query_items(
            sql, parameters=named, max_item_count=page_size, response_hook=self.charge, **where
        )
        async for row in guarded_rows(pages):
            yield row

    async def value(
        self, sql: str, parameters: Parameters | None = None, *, partition: PartitionKey | None = None
    ) -> Any:
        """The one value of an aggregate."""
        async for row in self.rows(sql, parameters, partition=partition):
            return row
        return None

    def body(self, document: D) -> dict[str, Any]:
        """The JSON to write."""
        return document.to_json()

    @staticmethod
    def _written(document: D, data: Mapping[str, Any]) -> D:
        document.etag = data.get("_etag")
        return document


async def each(call: Callable[[T], Awaitable[object]], items: Iterable[T], *, at_once: int = 8) -> None:
    """Call for each item, so many at once; all are tried, then the first failure is raised."""
    room = asyncio.Semaphore(at_once)

    async def one(item: T) -> None:
        async with room:
            await call(item)

    for outcome in await asyncio.gather(*(one(item) for item in items), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _required_etag(document: Document) -> str:
    if document.etag is None:
        raise Conflict(f"{type(document).__name__}: read it before you write it")
    return document.etag


def in_list(name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """``(@k0, @k1, …)`` and its parameters, for ``IN``.

    The last value fills the list up to a round length: few different texts, which the service needn't parse anew.
    """
    length = len(values) if len(values) <= 1 else -(-len(values) // ROUND_LENGTH) * ROUND_LENGTH
    filled = [*values, *([values[-1]] * (length - len(values)) if values else ())]
    parameters = {f"{name}{index}": value for index, value in enumerate(filled)}
    return f"({', '.join('@' + key for key in parameters)})", parameters


def build_client(endpoint: str, credential: Any) -> CosmosClient:
    """The client of this process: gateway mode over HTTPS, with the SDK's own retries kept short.

    A longer outage is the worker's to wait for: it schedules the message again.
    """
    return CosmosClient(
        endpoint,
        credential,
        retry_total=3,
        retry_backoff_max=5,
        retry_throttle_total=5,
        retry_throttle_backoff_max=10,
        connection_timeout=5,
        read_timeout=30,
        enable_endpoint_discovery=True,
        transport=http_transport(),
    )


def http_transport(**options: Any) -> AioHttpTransport:
    """HTTP for an SDK client that reads no ``.netrc``; a proxy named by the environment is still used.

    The default looks for that file before each request, in a thread: ``trust_env`` of aiohttp's ClientSession.
    """
    return AioHttpTransport(use_env_settings=bool(getproxies_environment()), **options)
