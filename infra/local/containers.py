"""Creating Castiel's database and containers in an account, as the infrastructure code does in Azure."""

from __future__ import annotations

from azure.cosmos import CosmosClient, PartitionKey

from castiel.azure.cosmos_containers import CONTAINERS, ContainerDefinition


def ensure_containers(endpoint: str, key: str, database: str) -> None:
    """Create what is missing; what exists is left as it is. Blocks."""
    with CosmosClient(endpoint, key) as client:
        target = client.create_database_if_not_exists(database)
        for container in CONTAINERS:
            target.create_container_if_not_exists(
                container.name, partition_key=_partition_key(container), default_ttl=container.default_ttl
            )


def _partition_key(container: ContainerDefinition) -> PartitionKey:
    if len(container.partition_key) == 1:
        return PartitionKey(path=container.partition_key[0])
    return PartitionKey(path=list(container.partition_key), kind="MultiHash")
