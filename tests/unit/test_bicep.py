"""The Bicep files of infra/azure: nothing is wrong with them, and what would be wrong is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infra.bicep.__main__ import AZURE, VARIANTS, problems_in
from infra.bicep.extract import used_types
from infra.bicep.schema import sources
from infra.bicep.syntax import BicepError, read
from infra.bicep.template import Deployment, deploy
from infra.configuration import ROOT

LONGEST = {
    # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    "Microsoft.Storage/storageAccounts": 24,
    "Microsoft.KeyVault/vaults": 24,
    "Microsoft.DocumentDB/databaseAccounts": 44,
    "Microsoft.ServiceBus/namespaces": 50,
    "Microsoft.EventGrid/topics": 50,
    "Microsoft.Web/sites": 60,
    "Microsoft.Web/serverfarms": 60,
    "Microsoft.Cache/redisEnterprise": 60,
    "Microsoft.OperationalInsights/workspaces": 63,
    "Microsoft.Network/privateEndpoints": 64,
    "Microsoft.ManagedIdentity/userAssignedIdentities": 128,
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def deployment(request: pytest.FixtureRequest) -> Deployment:
    return deploy(AZURE / "main.bicep", VARIANTS[request.param])


def test_nothing_is_wrong() -> None:
    assert problems_in() == []


def test_every_type_has_a_schema() -> None:
    assert used_types() <= set(sources()), "run infra/bicep/extract.py: infra/azure/schemas/README.md"


def test_names_are_as_long_as_they_may_be_and_given_once(deployment: Deployment) -> None:
    made = [each for each in deployment.resources if not each.existing]
    for each in made:
        assert len(each.name) <= LONGEST.get(each.type.partition("@")[0], 260), each.name
    ids = [each.id for each in made]
    assert len(ids) == len(set(ids))


def test_azd_gives_the_parameters_that_there_are() -> None:
    given = json.loads((AZURE / "main.parameters.json").read_text("utf-8"))["parameters"]
    declared = {each.name: each for each in read(AZURE / "main.bicep").of("param")}
    assert set(given) == set(declared)
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for name, each in given.items():
        variable, _, default = each["value"].strip("${}").partition("=")
        assert variable in page or variable == "AZURE_ENV_NAME", f"docs/deploy.md does not name {variable}"
        if default:
            template = declared[name].value
            assert template is not None
            assert (template.text or b"").decode().strip("'") == default, name


WRONG = [
    ("modules/messaging.bicep", "lockDuration:", "lockDurashun:", "lockDurashun: there is no such property; lockDuration?"),
    ("modules/cache.bicep", "evictionPolicy:", "evictPolicy:", "evictPolicy: there is no such property"),
    ("modules/alerts.bicep", "windowSize: alert.window\n    autoMitigate: true\n    criteria: {\n      allOf", "windowsSize: alert.window\n    criteria: {\n      allOf", "windowsSize: there is no such property"),
    ("modules/database.bicep", "databaseAccountOfferType: 'Standard'", "", "databaseAccountOfferType: is missing"),
    ("modules/cache.bicep", "publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'", "", "publicNetworkAccess: is missing"),
    ("modules/database.bicep", "'Strong'", "'Stronger'", "'Stronger' is none of"),
    ("modules/database.bicep", "type: 'Continuous'", "type: 'Now and then'", "type must be one of"),
    ("modules/vault.bicep", "enablePurgeProtection: true", "enablePurgeProtection: 'true'", "'true' is no bool"),
    ("modules/messaging.bicep", "disableLocalAuth: true", "serviceBusEndpoint: 'https://x'", "serviceBusEndpoint: can only be read"),
    ("modules/network.bicep", "addressPrefixes: ['10.40.0.0/16']", "addressPrefixes: '10.40.0.0/16'", "is no array"),
    ("modules/function-app.bicep", "maximumInstanceCount: scale.maximumInstanceCount", "maximumInstances: scale.maximumInstanceCount", "maximumInstances: there is no such property"),
    ("modules/function-app.bicep", "serverFarmId: plan.id", "serverFarmId: plans.id", "plans is not declared"),
    ("modules/function-app.bicep", "scale.instanceMemoryMB", "scale.memory", "no property memory"),
    ("modules/database.bicep", "account.properties.documentEndpoint", "account.properties.documentsEndpoint", "has no property documentsEndpoint"),
    ("modules/database.bicep", "output endpoint string =", "output address string =", "no property endpoint"),
    ("modules/vault.bicep", "param publicAccess bool", "param publicAccess bool\nparam sku string", "parameter sku is not given"),
    ("main.bicep", "    backupTier: sized.cosmosBackupTier\n", "    backup: sized.cosmosBackupTier\n", "no parameter backup"),
    ("main.bicep", "'modules/cache.bicep'", "'modules/caches.bicep'", "there is no file modules/caches.bicep"),
    ("main.bicep", "premiumMessagingUnits: sized.premiumMessagingUnits", "premiumMessagingUnits: 'one'", "'one' is no int"),
    ("main.bicep", "principalType: 'ServicePrincipal'", "principalType: 'Robot'", "'Robot' is none of"),
    ("main.bicep", "var databaseName = 'castiel'", "var databaseName = 'castiel'\nvar spare = 1", "var spare is not used"),
    ("main.bicep", "params: {\n    location: location\n    tags: tags\n    token: token\n    retentionDays", "parameters: {\n    retentionDays", "no property parameters"),
    ("modules/events.bicep", "properties: {", "properties: [", "not understood"),
    ("modules/events.bicep", "location: location\n", "location: location\n  location: location\n", "location is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "right", "wrong", "said"), WRONG, ids=[each[3] for each in WRONG])
def test_a_mistake_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    folder = tmp_path / "azure"
    shutil.copytree(AZURE, folder, ignore=shutil.ignore_patterns("schemas"))
    text = (folder / file).read_text("utf-8")
    assert right in text, "the file has changed: change the mistake too"
    (folder / file).write_text(text.replace(right, wrong), "utf-8")
    try:
        found = problems_in(folder, ["prod"])
    except BicepError as error:
        found = [str(error)]
    assert any(said in line for line in found), found
