"""A setting is the same in Bicep, in castiel/settings.py, in local.settings.json.example and in docs/configuration.md."""

from __future__ import annotations

import re

import pytest

from castiel.settings import load_settings
from infra.bicep.__main__ import AZURE, VARIANTS
from infra.bicep.template import deploy
from infra.configuration import DISABLED, DOCUMENT, PLATFORM, all_settings, differences, local_example

STANDS_FOR = {
    "documentEndpoint": "https://cosmos-castiel.documents.azure.com:443/",
    "vaultUri": "https://kv-castiel.vault.azure.net/",
    "endpoint": "https://evgt-castiel.westeurope-1.eventgrid.azure.net/api/events",
    "hostName": "redis-castiel.westeurope.redis.azure.net",
    "clientId": "11111111-2222-3333-4444-555555555555",
}


def app_settings(variant: str) -> dict[str, dict[str, str]]:
    """Each app's settings, with an example of what only Azure knows."""
    sites = deploy(AZURE / "main.bicep", VARIANTS[variant]).of_type("Microsoft.Web/sites")
    return {
        site.body["tags"]["azd-service-name"]: {
            each["name"]: re.sub(
                r"<[^>]*\.(\w+)>", lambda found: STANDS_FOR.get(found[1], found[0]), each["value"]
            )
            for each in site.body["properties"]["siteConfig"]["appSettings"]
        }
        for site in sites
    }


BICEP = app_settings("prod")


@pytest.mark.parametrize("app", BICEP)
def test_all_four_places_agree(app: str) -> None:
    assert list(differences(BICEP[app], local_example(), DOCUMENT.read_text("utf-8"))) == []


@pytest.mark.parametrize("name", [each.name for each in all_settings()])
def test_a_setting_missing_from_a_place_is_found(name: str) -> None:
    given, local, text = BICEP["inbound"], local_example(), DOCUMENT.read_text("utf-8")
    places = {
        "Bicep": ({k: v for k, v in given.items() if k != name}, local, text),
        "local.settings.json.example": (given, {k: v for k, v in local.items() if k != name}, text),
        "configuration.md": (
            given,
            local,
            "\n".join(line for line in text.split("\n") if f"| `{name}`" not in line),
        ),
    }
    for place, (bicep, example, document) in places.items():
        if (bicep, example, document) != (given, local, text):
            assert any(name in line and place in line for line in differences(bicep, example, document)), (
                place
            )


@pytest.mark.parametrize("place", ["Bicep", "local.settings.json.example"])
def test_a_setting_that_settings_py_does_not_have_is_found(place: str) -> None:
    extra = {"SYNC_BATCH_SICE": "100"}
    bicep = BICEP["inbound"] | (extra if place == "Bicep" else {})
    local = local_example() | (extra if place != "Bicep" else {})
    assert any("SYNC_BATCH_SICE" in line and place in line for line in differences(bicep, local, ""))


def test_another_default_is_found() -> None:
    bicep = BICEP["inbound"] | {"SYNC_MAX_RETRIES": "4"}
    assert "Bicep: SYNC_MAX_RETRIES is 4, its default 3" in differences(bicep, local_example(), "")


@pytest.mark.parametrize("variant", VARIANTS)
def test_castiel_starts_with_each_apps_settings(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for values in app_settings(variant).values():
        for each in all_settings():
            monkeypatch.delenv(each.name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        assert settings.castiel_environment == "cloud"
        assert settings.redis_use_entra
        assert settings.cosmos_key is None


def test_what_the_host_reads_is_in_the_document_and_used() -> None:
    given = {name for values in BICEP.values() for name in values if not name.startswith(DISABLED)}
    local = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}
    assert {each.name for each in all_settings()} | set(PLATFORM) >= given
    assert set(PLATFORM) - given == local
