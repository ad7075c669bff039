"""The one place where objects are built and handed to each other."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from datetime import timedelta

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry, load_providers
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.azure.clients import AzureClients, build_clients
from castiel.azure.cosmos_conflicts import CosmosConflicts
from castiel.azure.cosmos_connections import CosmosConnections, CosmosLimits, CosmosSchemas
from castiel.azure.cosmos_credentials import CosmosCredentials, CosmosRefreshAudit
from castiel.azure.cosmos_results import CosmosFailedRecords, CosmosResults
from castiel.azure.cosmos_shards import CosmosShards
from castiel.azure.cosmos_tasks import CosmosTasks
from castiel.azure.cosmos_webhooks import CosmosRegistrations, CosmosWebhookAudit
from castiel.azure.event_grid import EventGridTopic, NoTopic
from castiel.azure.key_vault import KeyVault
from castiel.azure.redis_client import RedisLeases, RedisMarks
from castiel.azure.redis_limits import RedisRateLimits
from castiel.azure.redis_memory import RedisClaims, RedisSeenRecords
from castiel.azure.service_bus import ServiceBusQueue
from castiel.extensions import load_matchers, load_resolvers
from castiel.functions.inbound_messages import InboundMessages
from castiel.functions.sync_inbound_worker import SyncInboundWorker
from castiel.functions.sync_outbound_worker import SyncOutboundWorker
from castiel.functions.sync_scheduler import SyncScheduler
from castiel.functions.token_refresher import TokenRefresher
from castiel.functions.webhook_receiver import WebhookReceiver
from castiel.ports.clock import Clock, SystemClock
from castiel.ports.messaging import EventPublisher
from castiel.redaction import install_redaction
from castiel.services.background_events import BackgroundEvents
from castiel.services.conflicts import ConflictResolutionService
from castiel.services.connections import ConnectionManagement
from castiel.services.conversion import ConversionSchemaService
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.authorisation import AuthorizationService
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.deduplication import DeduplicationService
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.derived import DerivedShards
from castiel.services.entity_pulls import EntityPulls
from castiel.services.failover_limits import FailoverRateLimits
from castiel.services.first_pull import FirstPulls
from castiel.services.grouped_queue import GroupedQueue
from castiel.services.integrations import Integrations
from castiel.services.jwks import KeySets
from castiel.services.limit_alerts import LimitAlerts
from castiel.services.limit_overrides import LimitOverrides
from castiel.services.local_changes import LocalChanges
from castiel.services.local_limits import LocalRateLimits
from castiel.services.outbox import Outbox
from castiel.services.push import PushService
from castiel.services.push_record import PushRecorder
from castiel.services.push_task import PushTaskService
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.services.record_merge import RecordMerge
from castiel.services.refetch import RefetchService
from castiel.services.replay import ReplayService
from castiel.services.retries import Retries
from castiel.services.shard_union import ShardUnion
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService
from castiel.services.webhooks import WebhookManagementService, WebhookRegistrations
from castiel.services.webhooks.at_provider import ProviderWebhooks
from castiel.services.webhooks.first_secret import FirstSecret
from castiel.services.webhooks.intake import DeliveryIntake
from castiel.services.webhooks.lifecycle import ConnectionLifecycle
from castiel.services.webhooks.orders import OrderBook
from castiel.services.webhooks.registrations import RegistrationCache
from castiel.services.webhooks.renewal import WebhookRenewal
from castiel.services.webhooks.seen import SeenDeliveries
from castiel.services.webhooks.sweep import PendingDeliveries
from castiel.services.webhooks.verification import SignatureVerification
from castiel.settings import Settings, load_settings
from castiel.telemetry import install_log_context


@dataclass(frozen=True)
class Stores:
    """Every container as its store."""

    tasks: CosmosTasks
    results: CosmosResults
    failed_records: CosmosFailedRecords
    shards: CosmosShards
    connections: CosmosConnections
    limits: CosmosLimits
    credentials: CosmosCredentials
    schemas: CosmosSchemas
    conflicts: CosmosConflicts
    registrations: CosmosRegistrations
    webhook_audit: CosmosWebhookAudit
    refresh_audit: CosmosRefreshAudit


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
    schemas: ConversionSchemaService
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
    clock = clock or SystemClock()
    providers = providers or load_providers()
    clients = build_clients(settings)
    database = build_stores(settings, clients)
    http = HttpPool(_url_policy(settings), timeout=settings.provider_timeout_seconds)
    vault = KeyVault(clients.key_vault)
    inbound = ServiceBusQueue(clients.service_bus, settings.service_bus_queue)
    outbound = ServiceBusQueue(clients.service_bus, settings.service_bus_queue_outbound)
    marks = RedisMarks(clients.redis)
    leases = RedisLeases(clients.redis)
    events: EventPublisher = EventGridTopic(clients.event_grid) if clients.event_grid else NoTopic()
    integration_limits = {p.integration_id: p.rate_limit_per_minute for p in providers}
    limiter = IntegrationRateLimiter(
        FailoverRateLimits(
            RedisRateLimits(clients.redis),
            LocalRateLimits(clock, share=1 / settings.rate_limiter_expected_instances),
            clock,
        ),
        LimitOverrides(database.limits, clock, integrations=integration_limits),
        LimitAlerts(events, marks, clock),
        clock,
        integration_limits=integration_limits,
        tenant_limit=settings.tenant_rate_limit_per_minute,
        webhook_limit=settings.webhook_rate_limit_per_minute,
    )
    credentials = SecureCredentialService(
        database.credentials, database.connections, vault, leases, providers, http, events, clock
    )
    authorization = AuthorizationService(
        database.connections, database.credentials, credentials.refreshing, marks, providers, http, clock
    )
    integrations = Integrations(providers, http, credentials, limiter, clock)
    renewal = WebhookRenewal(database.registrations, database.connections, vault, integrations, clock)
    rotation = SecretRotation(
        database.credentials,
        database.registrations,
        database.connections,
        database.webhook_audit,
        vault,
        providers,
        integrations,
        clock,
        renewal,
    )
    matchers = load_matchers()
    schemas = ConversionSchemaService(database.schemas, integrations, clock, matchers)
    outbox = Outbox(database.connections, database.shards, outbound, clock)
    resolvers = load_resolvers()
    deduplication = DeduplicationService(database.shards, schemas, RedisClaims(clients.redis), matchers)
    engine = BidirectionalSyncEngine(
        database.shards,
        schemas,
        deduplication,
        RecordMerge(outbox, resolvers, clock),
        DerivedShards(database.shards, outbox, clock),
        database.conflicts,
        database.failed_records,
        outbox,
        events,
        clock,
        batch_size=settings.sync_batch_size,
    )
    deletions = DeletionGuard(
        database.connections,
        database.shards,
        RedisSeenRecords(clients.redis),
        database.conflicts,
        engine,
        clock,
        percent=settings.deletion_guard_percent,
    )
    union = ShardUnion(database.shards, deduplication, outbox, clock)
    ttl = timedelta(seconds=settings.sync_message_ttl_seconds)
    tasks = SyncTaskService(database.tasks, leases, clock, message_ttl=ttl)
    retries = Retries(
        clock, max_retries=settings.sync_max_retries, base_seconds=settings.sync_retry_base_seconds
    )
    pending = PendingDeliveries(inbound, outbound, database.webhook_audit, clock)
    background_events = BackgroundEvents(events)
    key_sets = KeySets(http, clock)
    registrations = RegistrationCache(database.registrations, clock)
    webhooks = WebhookManagementService(
        registrations,
        SignatureVerification(registrations, credentials, key_sets, clock),
        FirstSecret(database.registrations, vault, registrations),
        ConnectionLifecycle(
            database.connections, database.credentials, credentials.refreshing.reauthorisation
        ),
        OrderBook(clock),
        integrations,
        WebhookRegistrations(
            database.registrations,
            database.connections,
            database.webhook_audit,
            credentials,
            rotation,
            integrations,
            registrations,
            clock,
        ),
    )
    recorder = PushRecorder(database.shards, marks, outbox, clock)
    push = PushService(
        database.connections,
        database.shards,
        integrations,
        schemas,
        leases,
        marks,
        recorder,
        FirstPulls(database.tasks),
        outbox,
        lease_seconds=settings.sync_lease_seconds,
    )
    push_tasks = PushTaskService(
        tasks,
        database.connections,
        database.shards,
        outbox,
        database.results,
        schemas,
        leases,
        clock,
        lease_seconds=settings.sync_lease_seconds,
        time_budget_seconds=settings.sync_time_budget_seconds,
    )
    refetch = RefetchService(database.connections, integrations, engine)
    return Services(
        settings=settings,
        clients=clients,
        http=http,
        stores=database,
        providers=providers,
        vault=vault,
        inbound_queue=inbound,
        outbound_queue=outbound,
        marks=marks,
        leases=leases,
        limiter=limiter,
        credentials=credentials,
        authorization=authorization,
        secret_rotation=rotation,
        integrations=integrations,
        connections=ConnectionManagement(database.connections, integrations, schemas, resolvers, clock),
        schemas=schemas,
        outbox=outbox,
        deduplication=deduplication,
        engine=engine,
        deletions=deletions,
        conflicts=ConflictResolutionService(database.conflicts, database.shards, union, outbox, clock),
        replay=ReplayService(
            database.failed_records, database.connections, database.shards, engine, integrations, clock
        ),
        tasks=tasks,
        webhooks=webhooks,
        provider_webhooks=ProviderWebhooks(
            webhooks.manage, database.registrations, database.connections, integrations, renewal
        ),
        pending_deliveries=pending,
        background_events=background_events,
        key_sets=key_sets,
        local_changes=LocalChanges(database.shards, deduplication, outbox, clock),
        scheduler=SyncScheduler(
            tasks,
            inbound,
            outbound,
            outbox,
            database.connections,
            clock,
            ttl=ttl,
            late_deliveries=pending,
            renewal=renewal,
        ),
        inbound_worker=SyncInboundWorker(
            tasks,
            database.connections,
            integrations,
            engine,
            deletions,
            database.results,
            leases,
            inbound,
            retries,
            events,
            clock,
            entity_pulls=EntityPulls(database.tasks, database.connections, clock),
            push_tasks=push_tasks,
            lease_seconds=settings.sync_lease_seconds,
            time_budget_seconds=settings.sync_time_budget_seconds,
        ),
        outbound_worker=SyncOutboundWorker(
            push,
            push_tasks,
            refetch,
            database.results,
            outbound,
            retries,
            clock,
            concurrency=settings.sync_concurrency,
            # As long again as the answer was waited for.
            lost_answer_seconds=settings.provider_timeout_seconds,
        ),
        token_refresher=TokenRefresher(
            database.credentials,
            credentials,
            database.refresh_audit,
            rotation,
            inbound,
            clock,
            threshold=timedelta(minutes=settings.token_expiry_threshold_minutes),
            interval=timedelta(minutes=settings.token_refresh_interval_minutes),
            keep_alive=timedelta(days=settings.token_keep_alive_days),
            max_retries=settings.max_refresh_retries,
            time_budget_seconds=settings.sync_time_budget_seconds,
            per_second=settings.token_refresh_per_second,
        ),
        webhook_receiver=WebhookReceiver(
            webhooks,
            limiter,
            SeenDeliveries(marks, database.webhook_audit, clock),
            DeliveryIntake(
                GroupedQueue(inbound, clock), GroupedQueue(outbound, clock), database.webhook_audit
            ),
            pending,
            background_events,
            clock,
            max_body_bytes=settings.webhook_max_body_bytes,
        ),
    )


def build_stores(settings: Settings, clients: AzureClients) -> Stores:
    """The stores over the database's containers."""
    database = clients.cosmos.get_database_client(settings.cosmos_database)
    container = database.get_container_client
    results = container(settings.sync_results_container)
    return Stores(
        tasks=CosmosTasks(container(settings.cosmos_container)),
        results=CosmosResults(results),
        failed_records=CosmosFailedRecords(results),
        shards=CosmosShards(container("shards")),
        connections=CosmosConnections(container("connections")),
        limits=CosmosLimits(container("connections")),
        credentials=CosmosCredentials(container(settings.credentials_container)),
        schemas=CosmosSchemas(container("conversion-schemas")),
        conflicts=CosmosConflicts(container("conflicts")),
        registrations=CosmosRegistrations(container("webhooks")),
        webhook_audit=CosmosWebhookAudit(container("webhook-audit")),
        refresh_audit=CosmosRefreshAudit(container("token-refresh")),
    )


def _url_policy(settings: Settings) -> UrlPolicy:
    if settings.castiel_sandbox_url is None:
        return UrlPolicy()
    return UrlPolicy(frozenset({origin_of(settings.castiel_sandbox_url)}))


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
