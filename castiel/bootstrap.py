"""The one place where objects are built and handed to each other: room by room, by ``castiel.wiring``."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry, load_providers
from castiel.azure.clients import AzureClients
from castiel.azure.key_vault import KeyVault
from castiel.azure.redis_client import RedisLeases, RedisMarks
from castiel.azure.service_bus import ServiceBusQueue
from castiel.functions.inbound_messages import InboundMessages
from castiel.functions.sync_inbound_worker import SyncInboundWorker
from castiel.functions.sync_outbound_worker import SyncOutboundWorker
from castiel.functions.sync_scheduler import SyncScheduler
from castiel.functions.token_refresher import TokenRefresher
from castiel.functions.webhook_receiver import WebhookReceiver
from castiel.ports.clock import Clock, SystemClock
from castiel.redaction import install_redaction
from castiel.services.background_events import BackgroundEvents
from castiel.services.conflicts import ConflictResolutionService
from castiel.services.connection_deletion import ConnectionDeletion
from castiel.services.connections import ConnectionManagement
from castiel.services.conversion import ConversionSchemaService
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.authorisation import AuthorizationService
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.deduplication import DeduplicationService
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.integrations import Integrations
from castiel.services.jwks import KeySets
from castiel.services.local_changes import LocalChanges
from castiel.services.outbox import Outbox
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.services.replay import ReplayService
from castiel.services.schema_management import SchemaManagement
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService
from castiel.services.webhooks import WebhookManagementService
from castiel.services.webhooks.at_provider import ProviderWebhooks
from castiel.services.webhooks.sweep import PendingDeliveries
from castiel.settings import Settings, load_settings
from castiel.telemetry import install_log_context
from castiel.wiring.access import build_access
from castiel.wiring.handlers import build_handlers
from castiel.wiring.operating import build_operating
from castiel.wiring.outside import build_outside
from castiel.wiring.stores import Stores
from castiel.wiring.syncing import build_syncing
from castiel.wiring.webhooks import build_webhooks


@dataclass(frozen=True)
class Services:
    """What the five functions, the command line and tests work with."""

    settings: Settings
    clients: AzureClients
    http: HttpPool
    stores: Stores
    providers: ProviderRegistry
    vault: KeyVault
    inbound_queue: ServiceBusQueue
    outbound_queue: ServiceBusQueue
    marks: RedisMarks
    leases: RedisLeases
    limiter: IntegrationRateLimiter
    credentials: SecureCredentialService
    authorization: AuthorizationService
    secret_rotation: SecretRotation
    integrations: Integrations
    connections: ConnectionManagement
    connection_deletion: ConnectionDeletion
    schemas: ConversionSchemaService
    schema_management: SchemaManagement
    outbox: Outbox
    deduplication: DeduplicationService
    engine: BidirectionalSyncEngine
    deletions: DeletionGuard
    conflicts: ConflictResolutionService
    replay: ReplayService
    tasks: SyncTaskService
    webhooks: WebhookManagementService
    provider_webhooks: ProviderWebhooks
    pending_deliveries: PendingDeliveries
    background_events: BackgroundEvents
    key_sets: KeySets
    local_changes: LocalChanges
    scheduler: SyncScheduler
    inbound_worker: SyncInboundWorker
    outbound_worker: SyncOutboundWorker
    token_refresher: TokenRefresher
    webhook_receiver: WebhookReceiver

    @property
    def inbound_messages(self) -> InboundMessages:
        """What ``sync-inbound`` delivers."""
        return InboundMessages(self.inbound_worker, self.token_refresher)

    async def aclose(self) -> None:
        """Close all connections: for a command or a test; the Functions host never does."""
        await self.pending_deliveries.stop()
        await self.background_events.drained()
        await self.key_sets.settled()
        await self.inbound_queue.close()
        await self.outbound_queue.close()
        await self.http.aclose()
        await self.clients.aclose()


def build(
    settings: Settings, *, clock: Clock | None = None, providers: ProviderRegistry | None = None
) -> Services:
    """Build everything. Call it inside the event loop that will use it."""
    outside = build_outside(settings, clock or SystemClock(), providers or load_providers())
    access = build_access(outside)
    syncing = build_syncing(outside, access)
    webhooks = build_webhooks(outside, access)
    operating = build_operating(outside, access, webhooks)
    handlers = build_handlers(outside, access, syncing, webhooks)
    return Services(
        settings=settings,
        clients=outside.clients,
        http=outside.http,
        stores=outside.stores,
        providers=outside.providers,
        vault=outside.vault,
        inbound_queue=outside.inbound_queue,
        outbound_queue=outside.outbound_queue,
        marks=outside.marks,
        leases=outside.leases,
        limiter=access.limiter,
        credentials=access.credentials,
        authorization=access.authorization,
        secret_rotation=webhooks.rotation,
        integrations=access.integrations,
        connections=syncing.connections,
        connection_deletion=operating.connection_deletion,
        schemas=syncing.schemas,
        schema_management=operating.schema_management,
        outbox=syncing.outbox,
        deduplication=syncing.deduplication,
        engine=syncing.engine,
        deletions=syncing.deletions,
        conflicts=syncing.conflicts,
        replay=syncing.replay,
        tasks=syncing.tasks,
        webhooks=webhooks.manage,
        provider_webhooks=webhooks.at_providers,
        pending_deliveries=webhooks.pending,
        background_events=webhooks.background_events,
        key_sets=webhooks.key_sets,
        local_changes=syncing.local_changes,
        scheduler=handlers.scheduler,
        inbound_worker=handlers.inbound_worker,
        outbound_worker=handlers.outbound_worker,
        token_refresher=handlers.token_refresher,
        webhook_receiver=handlers.webhook_receiver,
    )


class Application:
    """The services of a Functions worker: settings checked at import, the rest built at the first await, once.

    The worker has no start-up hook, and async clients belong to its one loop.
    """

    def __init__(self) -> None:
        self._settings = load_settings()
        self._services: Services | None = None
        self._lock = asyncio.Lock()

    async def services(self) -> Services:
        """The services, built at the first call."""
        if self._services is None:
            async with self._lock:
                if self._services is None:
                    install_log_context()
                    install_redaction()
                    self._services = build(self._settings)
                    # They and the modules live as long as the process: a collector that looks through all of them
                    # again and again stops the work for a tenth of a second each time.
                    gc.freeze()
        return self._services
