"""Who may do what: each app's rights, no keys, and no public way in where networking is private."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest

from castiel.azure.clients import build_clients
from castiel.settings import load_settings
from infra.bicep.__main__ import AZURE, VARIANTS
from infra.bicep.template import deploy
from tests.support.bicep import PROD, settings_of, sites

ROLES = {
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Azure Service Bus Data Owner",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
}
EVERY_APP = {
    ("Key Vault Secrets Officer", "vaults"),
    ("EventGrid Data Sender", "topics"),
    ("Monitoring Metrics Publisher", "components"),
    ("Storage Blob Data Owner", "storageAccounts"),
    ("Storage Table Data Contributor", "storageAccounts"),
}
OWN = {
    "orchestrator": {
        ("Azure Service Bus Data Sender", "sync-inbound"),
        ("Azure Service Bus Data Sender", "sync-outbound"),
    },
    "inbound": {
        ("Azure Service Bus Data Owner", "sync-inbound"),
        ("Azure Service Bus Data Sender", "sync-outbound"),
    },
    "outbound": {
        ("Azure Service Bus Data Sender", "sync-inbound"),
        ("Azure Service Bus Data Owner", "sync-outbound"),
    },
    "webhook": {
        ("Azure Service Bus Data Sender", "sync-inbound"),
        ("Azure Service Bus Data Sender", "sync-outbound"),
    },
}


@pytest.mark.parametrize("app", OWN)
def test_each_app_has_the_rights_it_needs_and_no_other(app: str) -> None:
    granted = set()
    for each in PROD.of_type("Microsoft.Authorization/roleAssignments"):
        if f"id-castiel-{app}-" in each.body["properties"]["principalId"]:
            role = ROLES[each.body["properties"]["roleDefinitionId"].rpartition("/")[2]]
            kind = each.scope.type.partition("@")[0].rpartition("/")[2]
            granted.add((role, each.scope.name if kind == "queues" else kind))
            if kind == "storageAccounts":
                assert app in each.scope.name
    assert granted == EVERY_APP | OWN[app]


def test_the_app_that_the_internet_reaches_sees_four_containers() -> None:
    scopes = defaultdict(set)
    for each in PROD.of_type("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"):
        app = re.search(r"id-castiel-(\w+)-", each.body["properties"]["principalId"])
        scopes[app[1] if app else "operator"].add(each.body["properties"]["scope"].partition("/dbs/")[2])
    everything = {"castiel"}
    assert scopes == {
        "orchestrator": everything,
        "inbound": everything,
        "outbound": everything,
        "webhook": {
            f"castiel/colls/{each}" for each in ("webhooks", "webhook-audit", "connections", "credentials")
        },
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_takes_a_key(variant: str) -> None:
    deployment = deploy(AZURE / "main.bicep", VARIANTS[variant])

    def properties(kind: str) -> list[dict[str, Any]]:
        return [each.body["properties"] for each in deployment.of_type(kind)]

    for kind, name, value in (
        ("Microsoft.DocumentDB/databaseAccounts", "disableLocalAuth", True),
        ("Microsoft.ServiceBus/namespaces", "disableLocalAuth", True),
        ("Microsoft.EventGrid/topics", "disableLocalAuth", True),
        ("Microsoft.Insights/components", "DisableLocalAuth", True),
        ("Microsoft.Storage/storageAccounts", "allowSharedKeyAccess", False),
        ("Microsoft.KeyVault/vaults", "enableRbacAuthorization", True),
        ("Microsoft.KeyVault/vaults", "enablePurgeProtection", True),
        ("Microsoft.Cache/redisEnterprise/databases", "accessKeysAuthentication", "Disabled"),
        ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "allow", False),
    ):
        found = properties(kind)
        assert found, kind
        assert all(each[name] == value for each in found), (kind, name)


def test_private_networking_leaves_no_public_way_in_but_the_webhook() -> None:
    for kind in (
        "Microsoft.DocumentDB/databaseAccounts",
        "Microsoft.ServiceBus/namespaces",
        "Microsoft.EventGrid/topics",
        "Microsoft.Storage/storageAccounts",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Cache/redisEnterprise",
    ):
        for each in PROD.of_type(kind):
            assert each.body["properties"]["publicNetworkAccess"] == "Disabled", each.id
            targets = {
                connection["properties"]["privateLinkServiceId"]
                for endpoint in PROD.of_type("Microsoft.Network/privateEndpoints")
                for connection in endpoint.body["properties"]["privateLinkServiceConnections"]
            }
            assert each.id in targets, each.id
    for app, site in sites().items():
        config = site.body["properties"]["siteConfig"]
        assert config["ipSecurityRestrictionsDefaultAction"] == ("Allow" if app == "webhook" else "Deny")
        assert site.body["properties"]["virtualNetworkSubnetId"].endswith("/subnets/functions")


async def test_a_token_for_redis_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own tenth of a second fails a managed identity's first token."""
    for name, value in settings_of(sites()["inbound"]).items():
        monkeypatch.setenv(name, "https://example.net/" if value.startswith("<") else value)
    monkeypatch.setenv("REDIS_URL", "rediss://redis-castiel.westeurope.redis.azure.net:10000")
    clients = build_clients(load_settings())
    try:
        provider = clients.redis.connection_pool.connection_kwargs["credential_provider"]
        config = provider._token_mgr._config
        assert config.get_token_request_execution_timeout_in_ms() >= 5_000
    finally:
        await clients.aclose()
