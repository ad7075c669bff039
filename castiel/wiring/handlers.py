"""The handlers of the five functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from castiel.functions.sync_inbound_worker import SyncInboundWorker
from castiel.functions.sync_outbound_worker import SyncOutboundWorker
from castiel.functions.sync_scheduler import SyncScheduler
from castiel.functions.token_refresher import TokenRefresher
from castiel.functions.webhook_receiver import WebhookReceiver
from castiel.services.entity_pulls import EntityPulls
from castiel.services.grouped_queue import GroupedQueue
from castiel.services.webhooks.intake import DeliveryIntake
from castiel.services.webhooks.seen import SeenDeliveries
from castiel.wiring.access import Access
from castiel.wiring.outside import Outside
from castiel.wiring.syncing import Syncing
from castiel.wiring.webhooks import Webhooks


@dataclass(frozen=True)
class Handlers:
    """One for each trigger of ``function_app.py``."""

    scheduler: SyncScheduler
    inbound_worker: SyncInboundWorker
    outbound_worker: SyncOutboundWorker
    token_refresher: TokenRefresher
    webhook_receiver: WebhookReceiver


def build_handlers(outside: Outside, access: Access, syncing: Syncing, webhooks: Webhooks) -> Handlers:
    """The five flows over the services."""
    settings, stores, clock = outside.settings, outside.stores, outside.clock
    return Handlers(
        scheduler=SyncScheduler(
            syncing.tasks,
            outside.inbound_queue,
            outside.outbound_queue,
            syncing.outbox,
            stores.connections,
            clock,
            ttl=timedelta(seconds=settings.sync_message_ttl_seconds),
            late_deliveries=webhooks.pending,
            renewal=webhooks.renewal,
        ),
        inbound_worker=SyncInboundWorker(
            syncing.tasks,
            stores.connections,
            access.integrations,
            syncing.engine,
            syncing.deletions,
            stores.results,
            outside.leases,
            outside.inbound_queue,
            syncing.retries,
            outside.events,
            clock,
            entity_pulls=EntityPulls(stores.tasks, stores.connections, clock),
            push_tasks=syncing.push_tasks,
            lease_seconds=settings.sync_lease_seconds,
            time_budget_seconds=settings.sync_time_budget_seconds,
        ),
        outbound_worker=SyncOutboundWorker(
            syncing.push,
            syncing.push_tasks,
            syncing.refetch,
            stores.results,
            outside.outbound_queue,
            syncing.retries,
            clock,
            concurrency=settings.sync_concurrency,
            # As long again as the answer was waited for.
            lost_answer_seconds=settings.provider_timeout_seconds,
        ),
        token_refresher=TokenRefresher(
            stores.credentials,
            access.credentials,
            stores.refresh_audit,
            webhooks.rotation,
            outside.inbound_queue,
            clock,
            threshold=timedelta(minutes=settings.token_expiry_threshold_minutes),
            interval=timedelta(minutes=settings.token_refresh_interval_minutes),
            keep_alive=timedelta(days=settings.token_keep_alive_days),
            max_retries=settings.max_refresh_retries,
            time_budget_seconds=settings.sync_time_budget_seconds,
            per_second=settings.token_refresh_per_second,
        ),
        webhook_receiver=WebhookReceiver(
            webhooks.manage,
            access.limiter,
            SeenDeliveries(outside.marks, stores.webhook_audit, clock),
            DeliveryIntake(
                GroupedQueue(outside.inbound_queue, clock),
                GroupedQueue(outside.outbound_queue, clock),
                stores.webhook_audit,
            ),
            webhooks.pending,
            webhooks.background_events,
            clock,
            max_body_bytes=settings.webhook_max_body_bytes,
        ),
    )
