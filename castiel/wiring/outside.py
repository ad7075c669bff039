"""What everything else reaches the outside by: Azure's services, Redis, HTTP to the providers, the clock."""

from __future__ import annotations

from dataclasses import dataclass

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.azure.clients import AzureClients, build_clients
from castiel.azure.event_grid import EventGridTopic, NoTopic
from castiel.azure.key_vault import KeyVault
from castiel.azure.redis_client import RedisLeases, RedisMarks
from castiel.azure.service_bus import ServiceBusQueue
from castiel.ports.clock import Clock
from castiel.ports.messaging import EventPublisher
from castiel.settings import Settings
from castiel.wiring.stores import Stores, build_stores


@dataclass(frozen=True)
class Outside:
    """The ports, each kept by what is really there; and the settings they were made with."""

    settings: Settings
    clock: Clock
    providers: ProviderRegistry
    clients: AzureClients
    stores: Stores
    http: HttpPool
    vault: KeyVault
    inbound_queue: ServiceBusQueue
    outbound_queue: ServiceBusQueue
    marks: RedisMarks
    leases: RedisLeases
    events: EventPublisher


def build_outside(settings: Settings, clock: Clock, providers: ProviderRegistry) -> Outside:
    """Make the clients and what stands before them. Nothing is called yet."""
    clients = build_clients(settings)
    return Outside(
        settings=settings,
        clock=clock,
        providers=providers,
        clients=clients,
        stores=build_stores(settings, clients),
        http=HttpPool(_url_policy(settings), timeout=settings.provider_timeout_seconds),
        vault=KeyVault(clients.key_vault),
        inbound_queue=ServiceBusQueue(clients.service_bus, settings.service_bus_queue),
        outbound_queue=ServiceBusQueue(clients.service_bus, settings.service_bus_queue_outbound),
        marks=RedisMarks(clients.redis),
        leases=RedisLeases(clients.redis),
        events=EventGridTopic(clients.event_grid) if clients.event_grid else NoTopic(),
    )


def _url_policy(settings: Settings) -> UrlPolicy:
    if settings.castiel_sandbox_url is None:
        return UrlPolicy()
    return UrlPolicy(frozenset({origin_of(settings.castiel_sandbox_url)}))
