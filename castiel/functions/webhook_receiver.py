"""WebhookReceiver: verified, durable, answered. It never calls a provider."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass

from castiel import telemetry, tracing
from castiel.domain.model import format_utc, utc_date
from castiel.domain.signatures import SignatureRefused
from castiel.domain.webhooks import (
    Delivery,
    Registration,
    WebhookAudit,
    WebhookEvent,
    WebhookRequest,
    WebhookResponse,
    delivery_key,
)
from castiel.errors import CastielError, InvalidWebhook, NotFound, RateLimited
from castiel.ports.clock import Clock
from castiel.ports.messaging import Event
from castiel.services.background_events import BackgroundEvents
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.services.webhooks import WebhookManagementService
from castiel.services.webhooks.intake import DeliveryIntake
from castiel.services.webhooks.orders import Orders
from castiel.services.webhooks.registrations import Recent
from castiel.services.webhooks.seen import SeenDeliveries
from castiel.services.webhooks.sweep import PendingDeliveries
from castiel.services.webhooks.trial import TEST_HEADER

logger = logging.getLogger(__name__)

REGISTRATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What an id is made of. Nothing else is looked up: dots and slashes would be steps in the store's addresses."""
REMEMBERED = 10_000


@dataclass(slots=True)
class _Receipt:
    """One delivery on its way through the door."""

    request: WebhookRequest
    registration: Registration
    correlation_id: str
    started: float
    verified: bool = False
    secret_index: int | None = None


class WebhookReceiver:
    """registration → rate limit → size → signature → handshake → parse → duplicate? → queue → audit → 200."""

    def __init__(
        self,
        webhooks: WebhookManagementService,
        limiter: IntegrationRateLimiter,
        seen: SeenDeliveries,
        intake: DeliveryIntake,
        pending: PendingDeliveries,
        events: BackgroundEvents,
        clock: Clock,
        *,
        max_body_bytes: int,
    ) -> None:
        self._webhooks = webhooks
        self._limiter = limiter
        self._seen = seen
        self._intake = intake
        self._pending = pending
        self._events = events
        self._clock = clock
        self._max_body = max_body_bytes
        self._limited_at: Recent[str, str] = Recent(REMEMBERED)

    async def handle(self, request: WebhookRequest) -> WebhookResponse:
        """Answer a delivery. Never raises: what went wrong on our side is a 5xx, and the provider sends it again."""
        started = self._clock.monotonic()
        correlation_id = f"wh-{self._clock.new_id()}"
        with (
            telemetry.log_context(
                function="WebhookReceiver",
                correlationId=correlation_id,
                registrationId=request.registration_id[:64],
            ),
            tracing.span("WebhookReceiver") as span,
        ):
            try:
                response = await self._admit(request, correlation_id, started)
            except CastielError as error:
                logger.error("webhook not taken: %s", error, extra={"error": error.code})
                response = _unavailable(error)
            except Exception:
                # The door's last word: an answer that shows nothing of what was sent.
                logger.exception("webhook not taken")
                response = _failure(500, "internal error")
            span.set_attribute("status", response.status)
            telemetry.count("webhook_received", status=response.status)
            telemetry.record("webhook_duration_ms", (self._clock.monotonic() - started) * 1000)
        return response

    async def _admit(self, request: WebhookRequest, correlation_id: str, started: float) -> WebhookResponse:
        if not request.registration_id:
            return _failure(400, "missing registration id")
        if not REGISTRATION_ID.fullmatch(request.registration_id):
            return _unknown()
        try:
            registration = await self._webhooks.get_webhook_registration(
                request.registration_id, request.source_ip
            )
        except NotFound:
            return _unknown()
        except RateLimited as error:
            return _limited(error.retry_after or 60.0)
        receipt = _Receipt(request, registration, correlation_id, started)
        decision = await self._limiter.check_webhook(
            registration.id, registration.rate_limit_per_minute, tenant_id=registration.tenant_id
        )
        if not decision.allowed:
            return await self._turned_away(receipt, decision.retry_after)
        if request.size > (registration.max_body_bytes or self._max_body):
            return await self._refuse(receipt, _failure(413, "body too large"), "too_large")
        try:
            verified = await self._webhooks.verify_webhook_signature(registration, request)
        except SignatureRefused as refusal:
            return await self._unverified(receipt, refusal)
        receipt.verified, receipt.secret_index = True, verified.secret_index
        return await self._take(receipt)

    async def _unverified(self, receipt: _Receipt, refusal: SignatureRefused) -> WebhookResponse:
        if await self._webhooks.take_first_secret(receipt.registration, receipt.request):
            return await self._refuse(receipt, WebhookResponse(200, {"success": True}), "first_secret")
        telemetry.count("webhook_rejected", reason=refusal.reason.value)
        logger.warning("webhook refused: %s", refusal)
        return await self._refuse(
            receipt, _failure(401, "signature verification failed"), refusal.reason.value
        )

    async def _take(self, receipt: _Receipt) -> WebhookResponse:
        """A delivery whose sender is known."""
        request, registration = receipt.request, receipt.registration
        if TEST_HEADER in request.headers:
            return await self._refuse(receipt, _success(None, synced=False), "test")
        try:
            handshake = self._webhooks.handshake(registration, request)
            if handshake is not None:
                return await self._refuse(receipt, WebhookResponse(200, handshake), "handshake")
            delivery = self._webhooks.process_webhook_event(registration, request)
        except InvalidWebhook as error:
            return await self._refuse(receipt, _failure(400, str(error)), "malformed_body")
        wanted = self._webhooks.wanted(registration, delivery)
        first = wanted[0] if wanted else next(iter(delivery.events), None)
        answer = _success(first, synced=bool(wanted))
        key = delivery_key(registration.id, delivery.delivery_id)
        if await self._seen.has(registration.id, key):
            return await self._repeated(receipt, answer, delivery, first)
        lifecycle = await self._webhooks.apply_lifecycle(registration, delivery)
        audit = self._audit_of(receipt, answer, key, delivery, first)
        audit.lifecycle = lifecycle
        orders = (
            self._webhooks.orders(registration, delivery, wanted, receipt.correlation_id)
            if wanted
            else Orders()
        )
        await self._intake.take(orders, audit, request.body)
        if audit.pending:
            self._pending.expect()
        await self._seen.remember(key, receipt.correlation_id)
        self._tell(audit, registration)
        return answer

    async def _repeated(
        self, receipt: _Receipt, answer: WebhookResponse, delivery: Delivery, first: WebhookEvent | None
    ) -> WebhookResponse:
        """The answer to what took effect before: a record of its own, beside the one that judges duplicates."""
        audit = self._audit_of(receipt, answer, self._clock.new_id(), delivery, first)
        audit.duplicate, audit.reason = True, "duplicate"
        await self._intake.note(audit)
        return answer

    async def _refuse(self, receipt: _Receipt, answer: WebhookResponse, reason: str) -> WebhookResponse:
        """An answer that leads to nothing more than its audit record."""
        audit = self._audit_of(receipt, answer, self._clock.new_id())
        audit.reason = reason
        await self._intake.note(audit)
        return answer

    async def _turned_away(self, receipt: _Receipt, retry_after: float) -> WebhookResponse:
        """One record for a minute of such deliveries: a flood must not cost a write each."""
        answer = _limited(retry_after)
        minute = format_utc(self._clock.now())[:16]
        audit = self._audit_of(receipt, answer, f"rate-limited-{minute}")
        audit.reason = "rate_limited"
        if self._limited_at.get(audit.registration_id) != minute:
            self._limited_at.put(audit.registration_id, minute)
            await self._intake.note(audit)
        return answer

    def _audit_of(
        self,
        receipt: _Receipt,
        answer: WebhookResponse,
        audit_id: str,
        delivery: Delivery | None = None,
        event: WebhookEvent | None = None,
    ) -> WebhookAudit:
        now = self._clock.now()
        return WebhookAudit(
            id=audit_id,
            registration_id=receipt.registration.id,
            received_on=utc_date(now),
            received_at=now,
            tenant_id=receipt.registration.tenant_id,
            delivery_id=delivery.delivery_id if delivery else None,
            event_type=event.event_type if event else None,
            entity_id=event.external_id if event else None,
            events=len(delivery.events) if delivery and len(delivery.events) != 1 else None,
            verified=receipt.verified,
            secret_index=receipt.secret_index,
            status=answer.status,
            duration=int((self._clock.monotonic() - receipt.started) * 1000),
            source_ip=receipt.request.source_ip,
            correlation_id=receipt.correlation_id,
        )

    def _tell(self, audit: WebhookAudit, registration: Registration) -> None:
        self._events.tell(
            Event(
                "castiel.webhook.received",
                f"webhooks/{registration.id}",
                {
                    "registrationId": registration.id,
                    "integrationId": registration.integration_id,
                    "connectionId": registration.connection_id,
                    "eventType": audit.event_type,
                    "queued": audit.queued,
                },
                registration.tenant_id,
                audit.correlation_id,
            )
        )


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


def _unknown() -> WebhookResponse:
    return _failure(404, "registration not found")


def _limited(retry_after: float) -> WebhookResponse:
    seconds = max(1, math.ceil(retry_after))
    return WebhookResponse(
        429, {"success": False, "error": "rate limit exceeded"}, {"Retry-After": str(seconds)}
    )


def _unavailable(error: CastielError) -> WebhookResponse:
    if error.retryable:
        return _failure(503, "temporarily unavailable")
    return _failure(500, "internal error")
