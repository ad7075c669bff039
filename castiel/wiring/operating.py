"""What only operators ask for, by the command: the services that no function needs."""

from __future__ import annotations

from dataclasses import dataclass

from castiel.services.connection_deletion import ConnectionDeletion
from castiel.services.schema_management import SchemaManagement
from castiel.wiring.access import Access
from castiel.wiring.outside import Outside
from castiel.wiring.webhooks import Webhooks


@dataclass(frozen=True)
class Operating:
    """Beside the services that the functions share with the command."""

    connection_deletion: ConnectionDeletion
    schema_management: SchemaManagement


def build_operating(outside: Outside, access: Access, webhooks: Webhooks) -> Operating:
    """Over the stores and the services that the rest uses as well."""
    stores = outside.stores
    return Operating(
        connection_deletion=ConnectionDeletion(
            stores.connections,
            stores.tasks,
            stores.registrations,
            access.credentials.manage,
            webhooks.at_providers,
            outside.leases,
            lease_seconds=outside.settings.sync_lease_seconds,
        ),
        schema_management=SchemaManagement(stores.schemas, stores.connections),
    )
