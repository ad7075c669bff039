"""WebhookManagementService: registrations, signatures, events, and what a delivery turns into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from castiel.adapters.base import WebhookFormat
from castiel.domain.messages import Operation, OutboundMessage, OutboundSource, SyncMessage
from castiel.domain.signatures import PRESETS, SignatureScheme, parse_scheme, verify
from castiel.domain.tasks import Priority, SyncMode
from castiel.domain.webhooks import (
    Delivery,
    Registration,
    WebhookAction,
    WebhookEvent,
    WebhookRequest,
    delivery_key,
)
from castiel.errors import ConfigurationError, NotFound, SignatureInvalid
from castiel.ports.clock import Clock
from castiel.ports.messaging import QueueMessage
from castiel.ports.stores import RegistrationStore
from castiel.services.credentials import SecureCredentialService
from castiel.services.integrations import Integrations

CACHE_SECONDS = 30.0
UNKNOWN_CACHE_SECONDS = 5.0
CACHE_ENTRIES = 10_000


class WebhookManagementService:
    """What the receiver needs of registrations, and what it makes of events."""

    def __init__(
        self,
        registrations: RegistrationStore,
        credentials: SecureCredentialService,
        integrations: Integrations,
        clock: Clock,
    ) -> None:
        self._registrations = registrations
        self._credentials = credentials
        self._integrations = integrations
        self._clock = clock
        self._cache: dict[str, tuple[float, Registration | None]] = {}
        self._secrets: dict[str, tuple[float, bytes]] = {}

    async def get_webhook_registration(self, registration_id: str) -> Registration:
        """The registration, cached for a short time, unknown ids too. Raises :class:`NotFound`."""
        cached = self._cache.get(registration_id)
        now = self._clock.monotonic()
        if cached is None or cached[0] <= now:
            cached = await self._look_up(registration_id, now)
        if cached[1] is None or not cached[1].enabled:
            raise NotFound("no such registration")
        return cached[1]

    async def _look_up(self, registration_id: str, now: float) -> tuple[float, Registration | None]:
        try:
            entry: tuple[float, Registration | None] = (
                now + CACHE_SECONDS,
                await self._registrations.get(registration_id),
            )
        except NotFound:
            entry = (now + UNKNOWN_CACHE_SECONDS, None)
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[registration_id] = entry
        return entry

    async def verify_webhook_signature(self, registration: Registration, request: WebhookRequest) -> int:
        """Over the raw body, before anything is parsed. Raises :class:`SignatureInvalid`; fails closed.

        Answers which of the registration's secrets the sender used: 0 is the newest.
        """
        secrets = [await self._secret(name) for name in registration.secret_names]
        verified = verify(_scheme(registration), request.headers, request.body, secrets, self._clock.now())
        return verified.secret_index

    async def _secret(self, name: str) -> bytes:
        cached = self._secrets.get(name)
        now = self._clock.monotonic()
        if cached is None or cached[0] <= now:
            try:
                value = (await self._credentials.read_secret(name)).encode()
            except NotFound:
                raise SignatureInvalid("the registration's secret is missing") from None
            cached = (now + CACHE_SECONDS, value)
            self._secrets[name] = cached
        return cached[1]

    def format_of(self, registration: Registration) -> WebhookFormat:
        """The provider's way of delivering."""
        return self._integrations.provider(registration.integration_id).webhooks

    def process_webhook_event(self, registration: Registration, request: WebhookRequest) -> Delivery:
        """Read a verified delivery. Raises :class:`~castiel.errors.InvalidWebhook`."""
        return self.format_of(registration).parse(replace(request, settings=registration.settings))

    def wanted(self, registration: Registration, delivery: Delivery) -> list[WebhookEvent]:
        """The events of a delivery that change something here."""
        if registration.action is WebhookAction.NONE:
            return []
        return [
            event
            for event in delivery.events
            if event.external_id
            and event.entity
            and not event.own_write
            and registration.wants(event.event_type)
        ]

    def messages(
        self,
        registration: Registration,
        delivery: Delivery,
        events: Sequence[WebhookEvent],
        correlation_id: str,
    ) -> list[QueueMessage]:
        """What the events put on the queue of the registration's action, with ids that follow from the delivery."""
        key = delivery_key(registration.id, delivery.delivery_id)
        return [
            QueueMessage(
                f"wh:{key}:{index}", self._body(registration, delivery, event, correlation_id), correlation_id
            )
            for index, event in enumerate(events)
        ]

    def _body(
        self, registration: Registration, delivery: Delivery, event: WebhookEvent, correlation_id: str
    ) -> str:
        if registration.action is WebhookAction.PULL:
            return SyncMessage(
                integration_id=registration.integration_id,
                tenant_id=registration.tenant_id,
                connection_id=registration.connection_id,
                sync_mode=SyncMode.PULL,
                priority=Priority.HIGH,
                correlation_id=correlation_id,
                enqueued_at=self._clock.now(),
                entity=event.entity,
                external_ids=[event.external_id or ""],
            ).to_json_text()
        return OutboundMessage(
            tenant_id=registration.tenant_id,
            integration_id=registration.integration_id,
            connection_id=registration.connection_id,
            entity_id=event.external_id or "",
            operation=event.operation or Operation.UPDATE,
            correlation_id=correlation_id,
            enqueued_at=self._clock.now(),
            source=OutboundSource.WEBHOOK,
            entity=event.entity,
            external_id=event.external_id,
            changes=dict(event.changes),
            changed_fields=list(event.changed_fields),
            occurred_at=event.occurred_at,
            registration_id=registration.id,
            delivery_id=delivery.delivery_id,
        ).to_json_text()


def _scheme(registration: Registration) -> SignatureScheme:
    if isinstance(registration.scheme, dict):
        return parse_scheme(registration.scheme)
    try:
        return PRESETS[registration.scheme]
    except KeyError:
        raise ConfigurationError(
            f"registration {registration.id}, scheme: unknown; known are {', '.join(sorted(PRESETS))}"
        ) from None
