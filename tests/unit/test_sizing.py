"""The page on scaling and cost: its tables are those of infra/sizing.py, which agrees with what is deployed."""

from __future__ import annotations

import re

import pytest

from castiel.azure.redis_client import FENCE_SECONDS
from infra.sizing import (
    DOCUMENT,
    GIGABYTES,
    HOUR,
    LIMITS_MET,
    PULLS_AT_ONCE,
    REDIS_MONTH,
    TENANTS,
    costs,
    needs,
    redis_size,
    with_tables,
)
from tests.support.bicep import HOST, PROD, host_settings, sites


def test_the_page_has_the_tables() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == with_tables(text), "run make docs"


def test_the_arithmetic_is_that_of_what_is_deployed() -> None:
    scale = {
        app: site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        for app, site in sites().items()
    }
    for app, gigabytes in GIGABYTES.items():
        assert scale[app]["instanceMemoryMB"] == gigabytes * 1024
    concurrency = host_settings(sites()["inbound"])["extensions"]["serviceBus"]["maxConcurrentCalls"]
    assert scale["inbound"]["maximumInstanceCount"] * concurrency == PULLS_AT_ONCE
    assert HOST["functionTimeout"] == "00:10:00"
    assert FENCE_SECONDS == HOUR
    throughput = [
        each.body["properties"]["options"]["autoscaleSettings"]["maxThroughput"]
        for kind in ("sqlDatabases", "sqlDatabases/containers")
        for each in PROD.of_type(f"Microsoft.DocumentDB/databaseAccounts/{kind}")
        if each.body["properties"]["options"]
    ]
    (database,) = [each for each in LIMITS_MET if each.name.startswith("Cosmos DB")]
    assert sum(throughput) == database.available


def test_prod_is_sized_for_a_thousand_tenants() -> None:
    need = needs(1_000)
    (cache,) = PROD.of_type("Microsoft.Cache/redisEnterprise")
    size = next(
        gigabytes for gigabytes, (name, _) in REDIS_MONTH.items() if name == cache.body["sku"]["name"]
    )
    assert need["GB in Redis"] <= 0.8 * size
    assert need["outbound instances at peak"] <= 50
    assert all(each.tenants > 1_000 for each in LIMITS_MET)


@pytest.mark.parametrize("name", list(needs(1)))
def test_needs_grow_with_the_tenants(name: str) -> None:
    few, many = needs(TENANTS[0])[name], needs(TENANTS[-1])[name]
    assert few < many


def test_costs_are_of_every_resource_that_costs() -> None:
    assert all(value >= 0 for value in costs(1).values())
    assert sum(costs(1_000).values()) > sum(costs(10).values())
    assert redis_size(0.1)[0] == "Balanced_B0"
    assert redis_size(0.5)[0] == "Balanced_B1"
    assert re.match("clustered", redis_size(100)[0])
