"""Every container as its store."""

from __future__ import annotations

from dataclasses import dataclass

from castiel.azure.clients import AzureClients
from castiel.azure.cosmos_conflicts import CosmosConflicts
from castiel.azure.cosmos_connections import CosmosConnections, CosmosLimits, CosmosSchemas
from castiel.azure.cosmos_credentials import CosmosCredentials, CosmosRefreshAudit
from castiel.azure.cosmos_results import CosmosFailedRecords, CosmosResults
from castiel.azure.cosmos_shards import CosmosShards
from castiel.azure.cosmos_tasks import CosmosTasks
from castiel.azure.cosmos_webhooks import CosmosRegistrations, CosmosWebhookAudit
from castiel.settings import Settings


@dataclass(frozen=True)
class Stores:
    """One for each container, or for each kind of document where a container holds several."""

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
