"""What infra/azure deploys with the parameters of prod, for the tests."""

from __future__ import annotations

import json
from typing import Any

from infra.bicep.__main__ import AZURE, VARIANTS
from infra.bicep.template import Deployment, deploy
from infra.bicep.values import Resource
from infra.configuration import ROOT

PROD = deploy(AZURE / "main.bicep", VARIANTS["prod"])
HOST = json.loads((ROOT / "host.json").read_text("utf-8"))


def settings_of(site: Resource) -> dict[str, str]:
    return {each["name"]: each["value"] for each in site.body["properties"]["siteConfig"]["appSettings"]}


def sites(deployment: Deployment = PROD) -> dict[str, Resource]:
    return {each.body["tags"]["azd-service-name"]: each for each in deployment.of_type("Microsoft.Web/sites")}


def host_settings(site: Resource) -> dict[str, Any]:
    """host.json with an app's own settings over it."""
    merged = json.loads(json.dumps(HOST))
    for name, value in settings_of(site).items():
        if name.startswith("AzureFunctionsJobHost__"):
            *path, last = name.split("__")[1:]
            at = merged
            for part in path:
                at = at[part]
            assert last in at or last == "functionTimeout", f"{name} is no setting of host.json"
            at[last] = type(at.get(last, ""))(value)
    return merged
