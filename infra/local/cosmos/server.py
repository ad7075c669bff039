"""The REST protocol: routes requests, and writes answers and errors as the service does.

Source: https://learn.microsoft.com/rest/api/cosmos-db/
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from . import catalog, items
from .batch import BatchFailed, run_batch
from .catalog import Container
from .charge import query_charge
from .conditions import patch
from .database import Database
from .errors import CONTAINER_RECREATED, CosmosError, bad_request, not_found
from .faults import Faults
from .items import Answer, Match
from .partition import Components, header_key
from .queries import query_documents
from .resources import RANGES_ETAG, account, partition_key_ranges

MAX_REQUEST_BYTES = 4 * 1024 * 1024
PURGE_SECONDS = 5.0

log = logging.getLogger(__name__)
Names = tuple[str, ...]
Handler = Callable[[web.Request, Names], Awaitable[web.StreamResponse]]


class Server:
    """Answers requests from one database file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._faults = Faults()
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", ""): self._account,
            ("GET", "dbs"): self._list_databases,
            ("POST", "dbs"): self._create_database,
            ("GET", "dbs/*"): self._read_database,
            ("DELETE", "dbs/*"): self._delete_database,
            ("GET", "dbs/*/colls"): self._list_containers,
            ("POST", "dbs/*/colls"): self._create_container,
            ("GET", "dbs/*/colls/*"): self._read_container,
            ("PUT", "dbs/*/colls/*"): self._replace_container,
            ("DELETE", "dbs/*/colls/*"): self._delete_container,
            ("GET", "dbs/*/colls/*/pkranges"): self._ranges,
            ("GET", "dbs/*/colls/*/docs"): self._list_documents,
            ("POST", "dbs/*/colls/*/docs"): self._post_documents,
            ("GET", "dbs/*/colls/*/docs/*"): self._read_document,
            ("PUT", "dbs/*/colls/*/docs/*"): self._replace_document,
            ("PATCH", "dbs/*/colls/*/docs/*"): self._patch_document,
            ("DELETE", "dbs/*/colls/*/docs/*"): self._delete_document,
        }

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_route("*", "/_faults", self._change_faults)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def purge_expired(self) -> None:
        """Delete expired documents for good, again and again; they are invisible before that already."""
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            await self._database.write(_purge)

    async def _change_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.method == "POST":
                self._faults.add(orjson.loads(await request.read()))
            elif request.method == "DELETE":
                self._faults.clear()
        except CosmosError as error:
            return _error(error)
        return _json(200, {"faults": self._faults.listed()})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if "Authorization" not in request.headers:
                raise CosmosError(401, "Required Header authorization is missing.")
            fault = self._faults.hit(request.method, request.path, batch=_is_batch(request))
            if fault is None:
                return await self._route(request)
            await asyncio.sleep(fault.delayMs / 1000)
            error = fault.error()
            if error is not None:
                raise error
            response = await self._route(request)
            if fault.dropAnswer and request.transport is not None:
                request.transport.abort()
            return response
        except CosmosError as error:
            return _error(error)
        finally:
            log.debug("%s %s", request.method, request.path)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_path.strip("/")
        segments = [unquote(part) for part in raw.split("/")] if raw else []
        pattern = "/".join("*" if place % 2 else part for place, part in enumerate(segments))
        handler = self._routes.get((request.method, pattern))
        if handler is None:
            raise bad_request(f"{request.method} /{pattern} is not supported by this emulator.")
        return await handler(request, tuple(segments[1::2]))

    # Account, databases and containers

    async def _account(self, request: web.Request, _: Names) -> web.StreamResponse:
        return _json(200, account(f"{request.scheme}://{request.host}/"))

    async def _list_databases(self, _: web.Request, __: Names) -> web.StreamResponse:
        found = await self._database.read(catalog.list_databases)
        return _json(200, {"_rid": "", "Databases": found, "_count": len(found)})

    async def _create_database(self, request: web.Request, _: Names) -> web.StreamResponse:
        body = await _new_resource(request)
        return _resource(201, await self._database.write(lambda c: catalog.create_database(c, body)))

    async def _read_database(self, _: web.Request, names: Names) -> web.StreamResponse:
        return _resource(200, await self._database.read(lambda c: catalog.read_database(c, *names)))

    async def _delete_database(self, _: web.Request, names: Names) -> web.StreamResponse:
        await self._database.write(lambda c: catalog.delete_database(c, *names))
        return _json(204, None)

    async def _list_containers(self, _: web.Request, names: Names) -> web.StreamResponse:
        found = await self._database.read(lambda c: catalog.list_containers(c, *names))
        return _json(200, {"_rid": "", "DocumentCollections": found, "_count": len(found)})

    async def _create_container(self, request: web.Request, names: Names) -> web.StreamResponse:
        body = await _new_resource(request)
        return _resource(201, await self._database.write(lambda c: catalog.create_container(c, *names, body)))

    async def _read_container(self, _: web.Request, names: Names) -> web.StreamResponse:
        def read(connection: sqlite3.Connection) -> catalog.Resource:
            catalog.read_database(connection, names[0])
            try:
                return catalog.get_container(connection, *names).resource
            except CosmosError:
                raise not_found(f"container {names[1]}") from None

        return _resource(200, await self._database.read(read))

    async def _replace_container(self, request: web.Request, names: Names) -> web.StreamResponse:
        body = await _json_body(request)
        return _resource(
            200, await self._database.write(lambda c: catalog.replace_container(c, *names, body))
        )

    async def _delete_container(self, _: web.Request, names: Names) -> web.StreamResponse:
        await self._database.write(lambda c: catalog.delete_container(c, *names))
        return _json(204, None)

    async def _ranges(self, request: web.Request, names: Names) -> web.StreamResponse:
        container = await self._database.read(lambda c: catalog.get_container(c, *names))
        if request.headers.get("If-None-Match") == RANGES_ETAG:
            return _json(304, None, {"etag": RANGES_ETAG})
        return _json(200, partition_key_ranges(container), {"etag": RANGES_ETAG})

    # Documents

    async def _list_documents(self, request: web.Request, names: Names) -> web.StreamResponse:
        if "A-IM" in request.headers:
            raise bad_request("The change feed is not supported by this emulator.")
        return await self._query(request, names, None)

    async def _post_documents(self, request: web.Request, names: Names) -> web.StreamResponse:
        headers = request.headers
        if headers.get("x-ms-cosmos-is-query-plan-request", "").lower() == "true":
            raise bad_request("Query plans are not supported by this emulator; it answers queries directly.")
        if headers.get("x-ms-documentdb-isquery", "").lower() == "true":
            return await self._query(request, names, await request.read())
        if _is_batch(request):
            return await self._batch(request, names)
        document = await _json_body(request)
        if headers.get("x-ms-documentdb-is-upsert", "").lower() == "true":
            match = _match(request)
            return await self._write(
                request, names, lambda c, at, key: items.upsert(c, at, key, document, match)
            )
        return await self._write(request, names, lambda c, at, key: items.create(c, at, key, document))

    async def _read_document(self, request: web.Request, names: Names) -> web.StreamResponse:
        def read(connection: sqlite3.Connection) -> Answer:
            container = _container(connection, request, names)
            return items.read(connection, container, _key(request, container), names[2], _match(request))

        return _document(await self._database.read_briefly(read), request)

    async def _replace_document(self, request: web.Request, names: Names) -> web.StreamResponse:
        document, match = await _json_body(request), _match(request)
        return await self._write(
            request, names, lambda c, at, key: items.replace(c, at, key, names[2], document, match)
        )

    async def _patch_document(self, request: web.Request, names: Names) -> web.StreamResponse:
        body, match = await _json_body(request), _match(request)
        return await self._write(request, names, lambda c, at, key: patch(c, at, key, names[2], body, match))

    async def _delete_document(self, request: web.Request, names: Names) -> web.StreamResponse:
        match = _match(request)
        return await self._write(request, names, lambda c, at, key: items.delete(c, at, key, names[2], match))

    async def _write(
        self,
        request: web.Request,
        names: Names,
        work: Callable[[sqlite3.Connection, Container, Components], Answer],
    ) -> web.StreamResponse:
        def write(connection: sqlite3.Connection) -> Answer:
            container = _container(connection, request, names)
            return work(connection, container, _key(request, container))

        return _document(await self._database.write(write), request)

    async def _batch(self, request: web.Request, names: Names) -> web.StreamResponse:
        body = await request.read()

        def write(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            container = _container(connection, request, names)
            key, minimal = _key(request, container), request.headers.get("Prefer") == "return=minimal"
            return run_batch(connection, container, key, body, minimal=minimal)

        try:
            status, results = 200, await self._database.write(write)
        except BatchFailed as failed:
            status, results = 207, failed.results
        return _json(
            status, results, {"x-ms-request-charge": str(sum(result["requestCharge"] for result in results))}
        )

    async def _query(self, request: web.Request, names: Names, body: bytes | None) -> web.StreamResponse:
        container, page = await query_documents(self._database, (names[0], names[1]), body, request.headers)
        headers = {
            "x-ms-request-charge": str(query_charge(page.size)),
            "x-ms-item-count": str(len(page.rows)),
        }
        if page.continuation:
            headers["x-ms-continuation"] = page.continuation
        answer = {"_rid": container.rid, "Documents": [orjson.Fragment(row) for row in page.rows]}
        return _json(200, answer | {"_count": len(page.rows)}, headers)


def _purge(connection: sqlite3.Connection) -> None:
    for container in catalog.all_containers(connection):
        if container.default_ttl is not None:
            items.purge_expired(connection, container)


def _is_batch(request: web.Request) -> bool:
    return request.headers.get("x-ms-cosmos-is-batch-request", "").lower() == "true"


def _container(connection: sqlite3.Connection, request: web.Request, names: Names) -> Container:
    container = catalog.get_container(connection, names[0], names[1])
    if request.headers.get("x-ms-cosmos-intended-collection-rid", container.rid) != container.rid:
        raise bad_request("The container was created anew.", CONTAINER_RECREATED)
    return container


def _key(request: web.Request, container: Container) -> Components:
    return header_key(request.headers.get("x-ms-documentdb-partitionkey"), container.paths)


def _match(request: web.Request) -> Match:
    return Match(request.headers.get("If-Match"), request.headers.get("If-None-Match"))


async def _json_body(request: web.Request) -> Any:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise CosmosError(413, "Request size is too large") from None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The request body is not valid JSON: {error}") from None


async def _new_resource(request: web.Request) -> Any:
    if request.headers.get("x-ms-documentdb-isquery", "").lower() == "true":
        raise bad_request("Queries over databases and containers are not supported by this emulator.")
    return await _json_body(request)


def _resource(status: int, resource: catalog.Resource) -> web.Response:
    return _json(status, resource, {"etag": resource["_etag"]})


def _document(answer: Answer, request: web.Request) -> web.Response:
    headers = {"x-ms-request-charge": str(answer.charge)}
    if answer.etag is not None:
        headers["etag"] = answer.etag
    minimal = request.method != "GET" and request.headers.get("Prefer") == "return=minimal"
    return _json(answer.status, None if minimal or answer.body is None else answer.body.encode(), headers)


def _error(error: CosmosError) -> web.Response:
    headers = {"x-ms-substatus": str(error.sub_status)}
    if error.retry_after_ms is not None:
        headers["x-ms-retry-after-ms"] = str(error.retry_after_ms)
    return _json(error.status, {"code": error.code, "message": error.message}, headers)


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    common = {
        "Content-Type": "application/json",
        "x-ms-request-charge": "1",
        "x-ms-activity-id": str(uuid.uuid4()),
        "x-ms-session-token": f"0:-1#{time.time_ns() // 1_000_000}",
        "x-ms-serviceversion": "version=2.14.0.0",
    }
    return web.Response(status=status, body=data, headers=common | (headers or {}))
