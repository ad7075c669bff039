"""Answers about the account, its databases, containers and partition key ranges."""

from __future__ import annotations

from typing import Any

from .catalog import Container

REGION = "Local"
RANGES_ETAG = '"1"'


def account(endpoint: str) -> dict[str, Any]:
    """The database account, with one region that is the emulator itself (else the SDK would go elsewhere)."""
    location = [{"name": REGION, "databaseAccountEndpoint": endpoint}]
    replicas = {"minReplicaSetSize": 1, "maxReplicasetSize": 1}
    return {
        "_self": "",
        "id": "local",
        "_rid": "local",
        "media": "//media/",
        "addresses": "//addresses/",
        "_dbs": "//dbs/",
        "writableLocations": location,
        "readableLocations": location,
        "enableMultipleWriteLocations": False,
        "userReplicationPolicy": {"asyncReplication": False, **replicas},
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        "systemReplicationPolicy": replicas,
        "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
        "queryEngineConfiguration": "{}",
    }


def partition_key_ranges(container: Container) -> dict[str, Any]:
    """The one range that holds everything: then the SDK never asks for a query plan."""
    whole = {
        "id": "0",
        "_rid": container.rid,
        "_self": f"{container.resource['_self']}pkranges/{container.rid}/",
        "_etag": RANGES_ETAG,
        "_ts": container.resource["_ts"],
        "minInclusive": "",
        "maxExclusive": "FF",
        "ridPrefix": 0,
        "throughputFraction": 1,
        "status": "online",
        "parents": [],
    }
    return {"_rid": container.rid, "PartitionKeyRanges": [whole], "_count": 1}
