"""WebhookReceiver: verified, durable, answered. It never calls a provider."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from castiel import telemetry
from castiel.domain.model import utc_date
from castiel.domain.webhooks import (
    Delivery,
    Registration,
    WebhookAction,
    WebhookAudit,
    WebhookEvent,
    WebhookRequest,
    WebhookResponse,
    delivery_key,
)
from castiel.errors import CacheUnavailable, CastielError, InvalidWebhook, NotFound, SignatureInvalid
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.messaging import Queue
from castiel.ports.stores import WebhookAuditStore
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.services.webhooks import WebhookManagementService

logger = logging.getLogger(__name__)

SEEN_SECONDS = 86_400.0
MAX_REGISTRATION_ID = 128


@dataclass
class _Handled:
    """What a delivery came to, for its answer and its audit record."""

    response: WebhookResponse
    registration: Registration | None = None
    delivery: Delivery | None = None
    event: WebhookEvent | None = None
    verified: bool = False
    secret_index: int | None = None
    queued: bool = False
    duplicate: bool = False
    reason: str | None = None


class WebhookReceiver:
    """registration → rate limit → size → signature → handshake → parse → duplicate? → queue → audit → 200."""

    def __init__(
        self,
        webhooks: WebhookManagementService,
        limiter: IntegrationRateLimiter,
        inbound: Queue,
        outbound: Queue,
        audit: WebhookAuditStore,
        marks: Marks,
        clock: Clock,
        *,
        max_body_bytes: int,
    ) -> None:
        self._webhooks = webhooks
        self._limiter = limiter
        self._inbound = inbound
        self._outbound = outbound
        self._audit = audit
        self._marks = marks
        self._clock = clock
        self._max_body = max_body_bytes

    async def handle(self, request: WebhookRequest) -> WebhookResponse:
        """Answer a delivery. Never raises: what went wrong on our side is a 5xx, and the provider sends it again."""
        started = self._clock.monotonic()
        correlation_id = f"wh-{self._clock.new_id()}"
        with telemetry.log_context(
            function="WebhookReceiver",
            correlationId=correlation_id,
            registrationId=request.registration_id[:64],
        ):
            try:
                handled = await self._handle(request, correlation_id)
                await self._write_audit(request, handled, correlation_id, started)
            except CastielError as error:
                logger.error("webhook not taken: %s", error, extra={"error": error.code})
                status = 503 if error.retryable else 500
                handled = _Handled(
                    _failure(status, "temporarily unavailable" if error.retryable else "internal error")
                )
            telemetry.count("webhook_received", status=handled.response.status)
            telemetry.record("webhook_duration_ms", (self._clock.monotonic() - started) * 1000)
        return handled.response

    async def _handle(self, request: WebhookRequest, correlation_id: str) -> _Handled:
        if not request.registration_id:
            return _Handled(_failure(400, "missing registration id"))
        if len(request.registration_id) > MAX_REGISTRATION_ID:
            return _Handled(_failure(404, "registration not found"))
        try:
            registration = await self._webhooks.get_webhook_registration(request.registration_id)
        except NotFound:
            return _Handled(_failure(404, "registration not found"))
        decision = await self._limiter.check_webhook(
            registration.id, registration.rate_limit_per_minute, tenant_id=registration.tenant_id
        )
        if not decision.allowed:
            seconds = max(1, math.ceil(decision.retry_after))
            answer = WebhookResponse(
                429, {"success": False, "error": "rate limit exceeded"}, {"Retry-After": str(seconds)}
            )
            return _Handled(answer, registration, reason="rate_limited")
        if len(request.body) > (registration.max_body_bytes or self._max_body):
            return _Handled(_failure(413, "body too large"), registration, reason="too_large")
        try:
            secret_index = await self._webhooks.verify_webhook_signature(registration, request)
        except SignatureInvalid as error:
            telemetry.count("webhook_rejected", reason="signature")
            logger.warning("webhook refused: %s", error)
            return _Handled(_failure(401, "signature verification failed"), registration, reason="signature")
        handled = await self._handle_verified(request, registration, correlation_id)
        handled.secret_index = secret_index
        return handled

    async def _handle_verified(
        self, request: WebhookRequest, registration: Registration, correlation_id: str
    ) -> _Handled:
        try:
            handshake = self._webhooks.format_of(registration).handshake(request)
            if handshake is not None:
                return _Handled(
                    WebhookResponse(200, handshake), registration, verified=True, reason="handshake"
                )
            delivery = self._webhooks.process_webhook_event(registration, request)
        except InvalidWebhook as error:
            return _Handled(_failure(400, str(error)), registration, verified=True, reason="malformed")
        wanted = self._webhooks.wanted(registration, delivery)
        first = wanted[0] if wanted else next(iter(delivery.events), None)
        handled = _Handled(_success(first, synced=bool(wanted)), registration, delivery, first, verified=True)
        if await self._seen(registration, delivery):
            handled.duplicate = True
            return handled
        if wanted:
            await self._queue_of(registration).send(
                self._webhooks.messages(registration, delivery, wanted, correlation_id)
            )
            handled.queued = True
        return handled

    def _queue_of(self, registration: Registration) -> Queue:
        return self._inbound if registration.action is WebhookAction.PULL else self._outbound

    async def _seen(self, registration: Registration, delivery: Delivery) -> bool:
        """Whether the delivery took effect before: the mark in Redis is fast, the audit record is the judge."""
        key = delivery_key(registration.id, delivery.delivery_id)
        try:
            return bool(await self._marks.get_many([f"delivery:{key}"]))
        except CacheUnavailable:
            found = await self._audit.find(registration.id, utc_date(self._clock.now()), key)
            return found is not None and (found.queued or found.duplicate)

    async def _write_audit(
        self, request: WebhookRequest, handled: _Handled, correlation_id: str, started: float
    ) -> None:
        """One record per delivery, then the mark that it took effect. An unknown registration leaves none."""
        registration = handled.registration
        if registration is None or handled.duplicate:
            return
        now = self._clock.now()
        delivery_id = handled.delivery.delivery_id if handled.delivery else None
        key = delivery_key(registration.id, delivery_id) if delivery_id else None
        await self._audit.put(
            WebhookAudit(
                id=key or self._clock.new_id(),
                registration_id=registration.id,
                received_on=utc_date(now),
                received_at=now,
                tenant_id=registration.tenant_id,
                delivery_id=delivery_id,
                event_type=handled.event.event_type if handled.event else None,
                entity_id=handled.event.external_id if handled.event else None,
                verified=handled.verified,
                secret_index=handled.secret_index,
                queued=handled.queued,
                status=handled.response.status,
                reason=handled.reason,
                duration=int((self._clock.monotonic() - started) * 1000),
                source_ip=request.source_ip,
                correlation_id=correlation_id,
            )
        )
        if key and handled.response.status == 200:
            try:
                await self._marks.put(f"delivery:{key}", correlation_id, seconds=SEEN_SECONDS)
            except CacheUnavailable:
                logger.warning("delivery not marked in Redis; its audit record is there")


def _success(event: WebhookEvent | None, *, synced: bool) -> WebhookResponse:
    body: dict[str, object] = {"success": True}
    if event is not None:
        body["eventType"] = event.event_type
        if event.external_id:
            body["entityId"] = event.external_id
    body["synced"] = synced
    return WebhookResponse(200, body)


def _failure(status: int, reason: str) -> WebhookResponse:
    return WebhookResponse(status, {"success": False, "error": reason})
