"""What webhooks need: registrations and their secrets, verification, the webhooks at providers."""

from __future__ import annotations

from dataclasses import dataclass

from castiel.services.background_events import BackgroundEvents
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.jwks import KeySets
from castiel.services.webhooks import WebhookManagementService, WebhookRegistrations
from castiel.services.webhooks.at_provider import ProviderWebhooks
from castiel.services.webhooks.first_secret import FirstSecret
from castiel.services.webhooks.lifecycle import ConnectionLifecycle
from castiel.services.webhooks.orders import OrderBook
from castiel.services.webhooks.registrations import RegistrationCache
from castiel.services.webhooks.renewal import WebhookRenewal
from castiel.services.webhooks.sweep import PendingDeliveries
from castiel.services.webhooks.verification import SignatureVerification
from castiel.wiring.access import Access
from castiel.wiring.outside import Outside


@dataclass(frozen=True)
class Webhooks:
    """The services of the receiver, and of what keeps webhooks alive."""

    manage: WebhookManagementService
    at_providers: ProviderWebhooks
    renewal: WebhookRenewal
    rotation: SecretRotation
    pending: PendingDeliveries
    background_events: BackgroundEvents
    key_sets: KeySets


def build_webhooks(outside: Outside, access: Access) -> Webhooks:
    """One cache of registrations is shared by all that read them."""
    stores, clock = outside.stores, outside.clock
    renewal = WebhookRenewal(
        stores.registrations, stores.connections, outside.vault, access.integrations, clock
    )
    rotation = SecretRotation(
        stores.credentials,
        stores.registrations,
        stores.connections,
        stores.webhook_audit,
        outside.vault,
        outside.providers,
        access.integrations,
        clock,
        renewal,
        access.credentials.refreshing,
    )
    key_sets = KeySets(outside.http, clock)
    registrations = RegistrationCache(stores.registrations, clock)
    manage = WebhookManagementService(
        registrations,
        SignatureVerification(registrations, access.credentials, key_sets, clock),
        FirstSecret(stores.registrations, outside.vault, registrations),
        ConnectionLifecycle(
            stores.connections, stores.credentials, access.credentials.refreshing.reauthorisation
        ),
        OrderBook(clock),
        access.integrations,
        WebhookRegistrations(
            stores.registrations,
            stores.connections,
            stores.webhook_audit,
            access.credentials,
            rotation,
            access.integrations,
            registrations,
            clock,
        ),
    )
    return Webhooks(
        manage=manage,
        at_providers=ProviderWebhooks(
            manage.manage, stores.registrations, stores.connections, access.integrations, renewal
        ),
        renewal=renewal,
        rotation=rotation,
        pending=PendingDeliveries(outside.inbound_queue, outside.outbound_queue, stores.webhook_audit, clock),
        background_events=BackgroundEvents(outside.events),
        key_sets=key_sets,
    )
