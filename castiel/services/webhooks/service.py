"""WebhookManagementService: what the receiver needs of registrations, signatures and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from castiel.adapters.base import WebhookFormat
from castiel.domain.signatures import Verification
from castiel.domain.webhooks import Delivery, Registration, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook, NotFound
from castiel.services.integrations import Integrations
from castiel.services.webhooks.first_secret import FirstSecret, OffersSecret
from castiel.services.webhooks.lifecycle import ConnectionLifecycle
from castiel.services.webhooks.management import WebhookRegistrations
from castiel.services.webhooks.orders import OrderBook, Orders, wanted
from castiel.services.webhooks.registrations import RegistrationCache
from castiel.services.webhooks.verification import SignatureVerification

MOST_NAME_CHARS = 512


class WebhookManagementService:
    """The receiver's side of webhooks; ``manage`` is the operators'."""

    def __init__(
        self,
        registrations: RegistrationCache,
        verification: SignatureVerification,
        first_secret: FirstSecret,
        lifecycle: ConnectionLifecycle,
        order_book: OrderBook,
        integrations: Integrations,
        manage: WebhookRegistrations,
    ) -> None:
        self._registrations = registrations
        self._verification = verification
        self._first_secret = first_secret
        self._lifecycle = lifecycle
        self._order_book = order_book
        self._integrations = integrations
        self.manage = manage

    async def get_webhook_registration(self, registration_id: str, source: str | None = None) -> Registration:
        """The registration, cached for a short time, unknown ids too.

        Raises :class:`NotFound`, for a paused one too, and :class:`~castiel.errors.RateLimited` when ``source``
        keeps guessing.
        """
        registration = await self._registrations.get(registration_id, source)
        if not registration.enabled:
            raise NotFound("no such registration")
        return registration

    async def verify_webhook_signature(
        self, registration: Registration, request: WebhookRequest
    ) -> Verification:
        """Over the raw body, before anything is parsed. Raises :class:`SignatureRefused`; fails closed."""
        return await self._verification.verify(registration, request)

    async def take_first_secret(self, registration: Registration, request: WebhookRequest) -> bool:
        """Whether the delivery handed over the secret that the registration was waiting for."""
        form = self.format_of(registration)
        if not registration.pending_verification or not isinstance(form, OffersSecret):
            return False
        offer = form.offered_secret(request)
        return offer is not None and await self._first_secret.take(registration, offer)

    def handshake(self, registration: Registration, request: WebhookRequest) -> dict[str, Any] | None:
        """The answer to a verified handshake; ``None`` when the delivery is none."""
        return self.format_of(registration).handshake(request)

    def process_webhook_event(self, registration: Registration, request: WebhookRequest) -> Delivery:
        """Read a verified delivery. Raises :class:`~castiel.errors.InvalidWebhook`."""
        delivery = self.format_of(registration).parse(replace(request, settings=registration.settings))
        _check_names(delivery)
        return delivery

    async def apply_lifecycle(self, registration: Registration, delivery: Delivery) -> str | None:
        """Act on what the delivery says of the connection itself; its name, or ``None``."""
        return await self._lifecycle.apply(registration, delivery)

    def wanted(self, registration: Registration, delivery: Delivery) -> list[WebhookEvent]:
        """The events of a delivery that change something here."""
        return wanted(registration, delivery)

    def orders(
        self,
        registration: Registration,
        delivery: Delivery,
        events: Sequence[WebhookEvent],
        correlation_id: str,
    ) -> Orders:
        """What the events put on the queues."""
        return self._order_book.orders(registration, delivery, events, correlation_id)

    def format_of(self, registration: Registration) -> WebhookFormat:
        """The provider's way of delivering."""
        return self._integrations.provider(registration.integration_id).webhooks


def _check_names(delivery: Delivery) -> None:
    """Ids come from headers, too, which may hold half characters, and be as long as the host lets them."""
    for name, text in (
        ("delivery id", delivery.delivery_id),
        *(("event type", event.event_type) for event in delivery.events),
        *(("record id", event.external_id or "") for event in delivery.events),
    ):
        if len(text) > MOST_NAME_CHARS:
            raise InvalidWebhook(f"{name}: longer than {MOST_NAME_CHARS} characters")
        if not text.isascii() and not _is_whole(text):
            raise InvalidWebhook(f"{name}: not a text")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
