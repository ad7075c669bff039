"""The containers, indexes and queues that the Bicep files deploy are those that the code needs."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from castiel.azure.cosmos_containers import CONTAINERS
from castiel.settings import Settings
from castiel.wiring.stores import build_stores
from infra.local.servicebus.config import DEFAULT_CONFIG
from tests.support.bicep import PROD

COSMOS_CONTAINERS = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers"


def containers() -> dict[str, dict[str, Any]]:
    return {each.name: each.body["properties"]["resource"] for each in PROD.of_type(COSMOS_CONTAINERS)}


def test_containers_are_those_of_the_code() -> None:
    expected = {each.name: (each.partition_key, each.default_ttl) for each in CONTAINERS}
    found = {
        name: (tuple(each["partitionKey"]["paths"]), each.get("defaultTtl"))
        for name, each in containers().items()
    }
    assert found == expected
    for each in containers().values():
        kind = "MultiHash" if len(each["partitionKey"]["paths"]) > 1 else "Hash"
        assert (each["partitionKey"]["kind"], each["partitionKey"]["version"]) == (kind, 2)


def stores_by_container() -> dict[str, list[type]]:
    """Which store classes read and write which container."""
    database = SimpleNamespace(get_container_client=lambda name: SimpleNamespace(id=name))
    clients: Any = SimpleNamespace(cosmos=SimpleNamespace(get_database_client=lambda _: database))
    settings = Settings.model_construct(
        cosmos_database="castiel",
        cosmos_container="sync-tasks",
        sync_results_container="sync-results",
        credentials_container="credentials",
    )
    found = defaultdict(list)
    for store in vars(build_stores(settings, clients)).values():
        collection = next(value for value in vars(store).values() if hasattr(value, "container"))
        found[collection.container.id].append(type(store))
    return found


def queries(store: type) -> Iterator[str]:
    """The SQL in a class's source, with the module's constants put in."""
    constants = vars(sys.modules[store.__module__])
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(store)))):
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(part.value)
                if isinstance(part, ast.Constant)
                else str(constants.get(part.value.id, ""))
                if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name)
                else ""
                for part in node.values
            ]
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def paths_used(sql: str) -> set[str]:
    """The paths that a query filters, joins or sorts by."""
    start = re.search(r"\bFROM c\b", sql)
    if start is None:
        return set()
    rest = sql[start.end() :]
    found = set()
    for alias, array in re.findall(r"\b(\w+) IN c\.(\w+)", rest):
        members = re.findall(rf"\b{alias}\.(\w+)", rest)
        found |= {f"/{array}/[]/{each}/?" for each in members} or {f"/{array}/[]/?"}
        rest = re.sub(rf"\b{alias} IN c\.{array}\b", "", rest)
    found |= {f"/{name}/?" for name in re.findall(r"\bc\.(\w+)", rest) if name != "id"}
    return found


def test_queries_are_read_from_the_code() -> None:
    from castiel.azure.cosmos_shards import CosmosShards
    from castiel.azure.cosmos_tasks import CosmosTasks

    assert {path for sql in queries(CosmosTasks) for path in paths_used(sql)} == {
        "/enabled/?",
        "/priority/?",
        "/status/?",
        "/nextScheduled/?",
    }
    assert {"/references/[]/entity/?", "/blockingKeys/[]/?"} <= {
        path for sql in queries(CosmosShards) for path in paths_used(sql)
    }


@pytest.mark.parametrize("name", [each.name for each in CONTAINERS])
def test_what_queries_use_is_indexed_and_nothing_else(name: str) -> None:
    policy = containers()[name]["indexingPolicy"]
    used = {
        path for store in stores_by_container()[name] for sql in queries(store) for path in paths_used(sql)
    }
    # A partition key is indexed only where the policy says so, but for /id:
    # https://learn.microsoft.com/azure/cosmos-db/index-policy#include-and-exclude-property-paths
    keys = {f"{path}/?" for path in containers()[name]["partitionKey"]["paths"] if path != "/id"}
    indexed = {each["path"] for each in policy["includedPaths"]}
    missing, spare = (used | keys) - indexed, indexed - (used | keys)
    assert not missing, f"index them for {name} in infra/azure/modules/database.bicep: a query uses them"
    assert not spare, f"no query uses them: take them from {name} in infra/azure/modules/database.bicep"
    assert policy["excludedPaths"] == [{"path": "/*"}]
    for composite in policy["compositeIndexes"]:
        assert {f"{each['path']}/?" for each in composite} <= used


def test_nothing_sorts_by_two_properties_without_a_composite_index() -> None:
    for name, stores in stores_by_container().items():
        composites = [
            [each["path"] for each in index]
            for index in containers()[name]["indexingPolicy"]["compositeIndexes"]
        ]
        for sql in (each for store in stores for each in queries(store)):
            order = re.search(r"ORDER BY (.*)", sql)
            paths = [f"/{each}" for each in re.findall(r"\bc\.(\w+)", order[1])] if order else []
            assert len(paths) < 2 or paths in composites, sql


def test_queues_are_those_of_the_emulators() -> None:
    local = {
        each["Name"]: each["Properties"]
        for each in json.loads(DEFAULT_CONFIG.read_text("utf-8"))["UserConfig"]["Namespaces"][0]["Queues"]
    }
    azure = {
        each.name: each.body["properties"] for each in PROD.of_type("Microsoft.ServiceBus/namespaces/queues")
    }
    assert set(azure) == set(local)
    for name, properties in azure.items():
        for ours, theirs in (
            ("requiresDuplicateDetection", "RequiresDuplicateDetection"),
            ("duplicateDetectionHistoryTimeWindow", "DuplicateDetectionHistoryTimeWindow"),
            ("lockDuration", "LockDuration"),
            ("maxDeliveryCount", "MaxDeliveryCount"),
            ("defaultMessageTimeToLive", "DefaultMessageTimeToLive"),
            ("deadLetteringOnMessageExpiration", "DeadLetteringOnMessageExpiration"),
            ("requiresSession", "RequiresSession"),
        ):
            assert properties[ours] == local[name][theirs], (name, ours)
        assert properties["requiresDuplicateDetection"]
        assert properties["deadLetteringOnMessageExpiration"]
