"""The receiver over fakes: everything it needs in memory, each part of which can be taken down."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry, load_providers
from castiel.adapters.urls import UrlPolicy
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.credentials import Credential
from castiel.domain.webhooks import Registration, WebhookRequest, WebhookResponse
from castiel.errors import CacheUnavailable, MessageTooLarge, QueueUnavailable
from castiel.functions.webhook_receiver import WebhookReceiver
from castiel.ports.messaging import QueueMessage
from castiel.services.background_events import BackgroundEvents
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.grouped_queue import GroupedQueue
from castiel.services.integrations import Integrations
from castiel.services.jwks import KeySets
from castiel.services.limit_alerts import LimitAlerts
from castiel.services.limit_overrides import LimitOverrides
from castiel.services.local_limits import LocalRateLimits
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.services.webhooks import WebhookManagementService, WebhookRegistrations
from castiel.services.webhooks.first_secret import FirstSecret
from castiel.services.webhooks.intake import DeliveryIntake
from castiel.services.webhooks.lifecycle import ConnectionLifecycle
from castiel.services.webhooks.orders import OrderBook
from castiel.services.webhooks.registrations import RegistrationCache
from castiel.services.webhooks.renewal import WebhookRenewal
from castiel.services.webhooks.seen import SeenDeliveries
from castiel.services.webhooks.sweep import PendingDeliveries
from castiel.services.webhooks.verification import SignatureVerification
from tests.support.fakes.coordination import (
    MemoryEvents,
    MemoryLeases,
    MemoryMarks,
    MemoryQueue,
    YieldingClock,
)
from tests.support.fakes.documents import (
    MemoryConnections,
    MemoryCredentials,
    MemoryRegistrations,
    MemoryWebhookAudit,
)
from tests.support.fakes.vault import MemoryVault

TENANT, SECRET = "tenant-1", "made-up-webhook-secret"
REGISTRATION = "wh-" + "0" * 32


class FaultyQueue(MemoryQueue):
    """A queue that can be down, takes no large message, and knows a message id it has seen (duplicate detection)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.down = False
        self.batches: list[int] = []
        self.largest = 256_000

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if self.down:
            raise QueueUnavailable(f"queue {self.name}: down")
        if any(len(message.body.encode()) > self.largest for message in messages):
            raise MessageTooLarge(f"queue {self.name}: too large")
        self.batches.append(len(messages))
        known = {message.message_id for message in self.sent}
        for message in messages:
            if message.message_id not in known:
                known.add(message.message_id)
                self.sent.append(message)

    def bodies(self) -> list[dict[str, Any]]:
        """What was sent, as JSON."""
        return [json.loads(message.body) for message in self.sent]


class FaultyMarks(MemoryMarks):
    """Redis that can be down."""

    def __init__(self, clock: YieldingClock) -> None:
        super().__init__(clock)
        self.down = False

    async def get_many(self, keys: Sequence[str]) -> dict[str, str]:
        if self.down:
            raise CacheUnavailable("Redis: down")
        return await super().get_many(keys)

    async def put(self, key: str, value: str, *, seconds: float) -> None:
        if self.down:
            raise CacheUnavailable("Redis: down")
        await super().put(key, value, seconds=seconds)


class NoLimits:
    """No tenant has limits of its own."""

    async def get(self, tenant_id: str) -> None:
        return None

    async def put(self, limits: Any) -> Any:
        return limits


@dataclass
class Door:
    """What outlives the receiver's process."""

    clock: YieldingClock = field(default_factory=YieldingClock)

    def __post_init__(self) -> None:
        self.registrations = MemoryRegistrations()
        self.connections = MemoryConnections()
        self.credentials = MemoryCredentials()
        self.audit = MemoryWebhookAudit()
        self.vault = MemoryVault()
        self.events = MemoryEvents()
        self.marks = FaultyMarks(self.clock)
        self.inbound, self.outbound = FaultyQueue("sync-inbound"), FaultyQueue("sync-outbound")
        self.http = HttpPool(UrlPolicy())
        self.providers: ProviderRegistry = load_providers()
        self.start()

    def start(self) -> None:
        """A process that remembers nothing."""
        clock = self.clock
        credentials = SecureCredentialService(
            self.credentials,
            self.connections,
            self.registrations,
            self.vault,
            MemoryLeases(clock),
            self.providers,
            self.http,
            self.events,
            clock,
        )
        self.credential_service = credentials
        limiter = IntegrationRateLimiter(
            LocalRateLimits(clock, share=1.0),
            LimitOverrides(NoLimits(), clock, integrations={}),
            LimitAlerts(self.events, self.marks, clock),
            clock,
            integration_limits={},
        )
        integrations = Integrations(self.providers, self.http, credentials, limiter, clock)
        rotation = SecretRotation(
            self.credentials,
            self.registrations,
            self.connections,
            self.audit,
            self.vault,
            self.providers,
            integrations,
            clock,
            WebhookRenewal(self.registrations, self.connections, self.vault, integrations, clock),
            credentials.refreshing,
        )
        self.key_sets = KeySets(self.http, clock)
        self.cache = RegistrationCache(self.registrations, clock)
        self.manage = WebhookRegistrations(
            self.registrations,
            self.connections,
            self.audit,
            credentials,
            rotation,
            integrations,
            self.cache,
            clock,
        )
        self.pending = PendingDeliveries(self.inbound, self.outbound, self.audit, clock)
        self.background = BackgroundEvents(self.events)
        self.receiver = WebhookReceiver(
            WebhookManagementService(
                self.cache,
                SignatureVerification(self.cache, credentials, self.key_sets, clock),
                FirstSecret(self.registrations, self.vault, self.cache),
                ConnectionLifecycle(
                    self.connections, self.credentials, credentials.refreshing.reauthorisation
                ),
                OrderBook(clock),
                integrations,
                self.manage,
            ),
            limiter,
            SeenDeliveries(self.marks, self.audit, clock),
            DeliveryIntake(GroupedQueue(self.inbound, clock), GroupedQueue(self.outbound, clock), self.audit),
            self.pending,
            self.background,
            clock,
            max_body_bytes=1_048_576,
        )

    async def plant(self, integration: str = "salesforce", **changes: Any) -> Registration:
        """A connection with its credential, and a registration whose secret is :data:`SECRET`."""
        await self.vault.set("hook-secret", SECRET)
        await self.connections.create(
            Connection(
                id="conn-1",
                tenant_id=TENANT,
                integration_id=integration,
                credential_id="cred-1",
                entities=[EntitySync(entity="Contact", shard_type="contact")],
            )
        )
        await self.credentials.create(
            Credential(
                id="cred-1",
                tenant_id=TENANT,
                integration_id=integration,
                connection_id="conn-1",
                secret_name="credential-cred-1",
            )
        )
        return await self.registrations.create(
            Registration.model_validate(
                {
                    "id": REGISTRATION,
                    "tenant_id": TENANT,
                    "integration_id": integration,
                    "connection_id": "conn-1",
                    "scheme": self.providers.get(integration).webhooks.signature_preset,
                    "secret_names": ["hook-secret"],
                    "rate_limit_per_minute": 1_000_000,
                    **changes,
                }
            )
        )

    async def post(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        registration: str = REGISTRATION,
        source: str | None = "203.0.113.7",
    ) -> WebhookResponse:
        """A delivery with these headers, as they come from the trigger."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        return await self.receiver.handle(WebhookRequest(registration, "events", lowered, body, source))

    async def salesforce(self, delivery: str = "d-1", secret: str = SECRET, **event: Any) -> WebhookResponse:
        """A signed callout of Salesforce's."""
        return await self.post(*signed(callout(delivery, **event), secret))

    def audits(self) -> list[Any]:
        """All audit records."""
        return self.audit.all()


def callout(delivery: str = "d-1", **event: Any) -> bytes:
    """A Salesforce callout's body."""
    body = {
        "deliveryId": delivery,
        "event": "contact.updated",
        "entity": "Contact",
        "id": "003000000000001AAA",
    }
    return json.dumps({**body, **event}).encode()


def signed(body: bytes, secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    """The body with Salesforce's signature header."""
    return body, {"X-Salesforce-Content-SHA256": hmac.digest(secret.encode(), body, hashlib.sha256).hex()}
