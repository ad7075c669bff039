"""The topic's HTTP interface (https://learn.microsoft.com/azure/event-grid/post-to-custom-topic)."""

from __future__ import annotations

import hmac
import json
import uuid
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from infra.local.eventgrid.cloud_events import problem_with
from infra.local.eventgrid.store import Store
from infra.local.faults import Faults

MAX_BODY_BYTES = 1024 * 1024
"""Event and batch size limit (https://learn.microsoft.com/azure/event-grid/quotas-limits)."""
_BATCH, _SINGLE = "application/cloudevents-batch+json", "application/cloudevents+json"
_ERROR_CODES = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    413: "PayloadTooLarge",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}


class TopicError(Exception):
    """A refusal with its status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def make_app(store: Store, key: str) -> web.Application:
    """The topic; ``key`` is what publishers send as ``aeg-sas-key``.

    ``GET /_events?type=&source=&subject=&after=&limit=`` answers ``{"events": [...], "last": 12}``; pass ``last`` as
    ``after`` to read on. ``DELETE /_events`` forgets them.
    """
    faults = Faults(_error_body)
    app = web.Application(middlewares=[_guard(key), faults.middleware], client_max_size=MAX_BODY_BYTES)
    topic = _Topic(store)
    app.add_routes(
        [
            web.post("/api/events", topic.publish),
            web.get("/_events", topic.read),
            web.delete("/_events", topic.clear),
            *faults.routes(),
        ]
    )
    return app


def _guard(key: str) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not request.path.startswith("/_"):
                given = request.headers.get("aeg-sas-key", "")
                if not hmac.compare_digest(given.encode(), key.encode()):
                    raise TopicError(401, "The request authorization key is not authorized for this topic.")
            return await handler(request)
        except TopicError as error:
            return web.json_response(_error_body(error.status, error.message), status=error.status)

    return guard


def _error_body(status: int, message: str | None = None) -> dict[str, Any]:
    """The service's error: a code and a message that ends with a report's number, repeated in the details."""
    code = _ERROR_CODES.get(status, "InternalServerError")
    text = f"{message or f'Ordered failure with status {status}.'} Report '{uuid.uuid4()}' to our forums for assistance."
    return {"error": {"code": code, "message": text, "details": [{"code": code, "message": text}]}}


class _Topic:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def publish(self, request: web.Request) -> web.Response:
        """Take a batch whole or refuse it whole."""
        if "api-version" not in request.query:
            raise TopicError(400, "The api-version query parameter is required.")
        self._store.add(_events_of(request.content_type, await _body(request)))
        return web.Response()

    async def read(self, request: web.Request) -> web.Response:
        """What was published."""
        after, limit = request.query.get("after", "0"), request.query.get("limit", "1000")
        if not (after.isdecimal() and limit.isdecimal()):
            raise TopicError(400, "after and limit must be whole numbers.")
        wanted = {
            name: request.query[name] for name in ("type", "source", "subject") if name in request.query
        }
        events, last = self._store.read(wanted, int(after), int(limit))
        return web.json_response({"events": events, "last": last})

    async def clear(self, _request: web.Request) -> web.Response:
        """Forget what was published."""
        self._store.clear()
        return web.Response(status=204)


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TopicError(413, f"The maximum size ({MAX_BODY_BYTES} bytes) has been exceeded.") from None


def _events_of(content_type: str, body: bytes) -> list[dict[str, Any]]:
    if content_type not in (_BATCH, _SINGLE):
        raise TopicError(
            400,
            "This resource is configured to receive event in 'CloudEventV10' schema. The content type must be "
            f"'{_BATCH}' or '{_SINGLE}', not '{content_type}'.",
        )
    try:
        posted = json.loads(body)
    except ValueError:
        raise TopicError(400, "The body is not valid JSON.") from None
    events = posted if content_type == _BATCH else [posted]
    if not isinstance(events, list):
        raise TopicError(400, "Unexpected token when reading JSON. Expected: StartArray.")
    for place, event in enumerate(events):
        problem = problem_with(event)
        if problem is not None:
            raise TopicError(
                400,
                "This resource is configured to receive event in 'CloudEventV10' schema. "
                f"The event at position {place} does not conform to it: {problem}.",
            )
    return events
