"""Which functions run in which app, how far they scale, and whether host.json fits what they do."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta

import pytest

from infra.configuration import ROOT
from infra.local.servicebus.config import parse_duration
from tests.support.bicep import PROD, host_settings, settings_of, sites

FUNCTIONS = {"SyncScheduler", "SyncInboundWorker", "SyncOutboundWorker", "TokenRefresher", "WebhookReceiver"}


def test_each_function_runs_in_exactly_one_app() -> None:
    declared = re.findall(r'@app\.function_name\("(\w+)"\)', (ROOT / "function_app.py").read_text("utf-8"))
    assert set(declared) == FUNCTIONS
    running = defaultdict(list)
    for app, site in sites().items():
        for name in FUNCTIONS:
            if settings_of(site)[f"AzureWebJobs.{name}.Disabled"] == "false":
                running[name].append(app)
    assert running == {
        "SyncScheduler": ["orchestrator"],
        "TokenRefresher": ["orchestrator"],
        "SyncInboundWorker": ["inbound"],
        "SyncOutboundWorker": ["outbound"],
        "WebhookReceiver": ["webhook"],
    }


def test_scale_is_as_specified() -> None:
    scale = {
        app: (
            site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]["maximumInstanceCount"],
            site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"],
        )
        for app, site in sites().items()
    }
    assert scale == {
        "orchestrator": (1, [{"name": "function:SyncScheduler", "instanceCount": 1}]),
        "inbound": (10, [{"name": "function:SyncInboundWorker", "instanceCount": 1}]),
        "outbound": (50, [{"name": "function:SyncOutboundWorker", "instanceCount": 1}]),
        "webhook": (200, [{"name": "http", "instanceCount": 1}]),
    }
    # The default quota of a region; an instance has a core for each 2048 MB.
    # https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#regional-subscription-memory-quotas
    megabytes = [
        site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]["instanceMemoryMB"]
        * scale[app][0]
        for app, site in sites().items()
    ]
    assert sum(megabytes) <= 512_000


def test_a_zone_redundant_plan_has_two_instances_ready() -> None:
    for each in PROD.of_type("Microsoft.Web/serverfarms"):
        (site,) = [site for site in sites().values() if site.body["properties"]["serverFarmId"] == each.id]
        ready = site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]
        assert not each.body["properties"]["zoneRedundant"] or ready[0]["instanceCount"] >= 2


def test_azd_deploys_each_app() -> None:
    text = (ROOT / "azure.yaml").read_text("utf-8")
    services = re.findall(r"(?m)^  (\w+):\n    project: \.", text)
    assert services == list(sites())


def duration(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


@pytest.mark.parametrize("app", list(sites()))
def test_host_json_fits_what_the_functions_do(app: str) -> None:
    site = sites()[app]
    host, settings = host_settings(site), settings_of(site)
    timeout = duration(host["functionTimeout"])
    bus = host["extensions"]["serviceBus"]
    if app == "webhook":
        # https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
        assert timeout <= timedelta(seconds=230)
        assert host["extensions"]["http"]["routePrefix"] == ""
        return
    # A run stops by itself with time left for the page it is at: a provider's answer and the writes after it.
    budget = timedelta(seconds=float(settings["SYNC_TIME_BUDGET_SECONDS"]))
    answer = timedelta(seconds=float(settings["PROVIDER_TIMEOUT_SECONDS"]))
    assert budget + 2 * answer <= timeout
    # A lock that ends before the work does lets a second worker begin the same message.
    assert duration(bus["maxAutoLockRenewalDuration"]) >= timeout
    # Messages that are fetched ahead wait with their locks running.
    assert bus["prefetchCount"] == 0
    assert bus["autoCompleteMessages"] is True
    # A lost worker's lease must end before its message is received again, or that only meets the lease and waits.
    for queue in PROD.of_type("Microsoft.ServiceBus/namespaces/queues"):
        lock = parse_duration(queue.body["properties"]["lockDuration"])
        assert timedelta(seconds=float(settings["SYNC_LEASE_SECONDS"])) < lock
        # A message must live as long as the scheduler believes.
        life = parse_duration(queue.body["properties"]["defaultMessageTimeToLive"])
        assert timedelta(seconds=float(settings["SYNC_MESSAGE_TTL_SECONDS"])) <= life


def test_scaling_follows_the_queues() -> None:
    inbound, outbound = (
        host_settings(sites()[app])["extensions"]["serviceBus"] for app in ("inbound", "outbound")
    )
    # Desired instances are the queue's length over this: docs/scaling-and-cost.md.
    assert inbound["maxConcurrentCalls"] == 8
    assert outbound["maxMessageBatchSize"] == 50
