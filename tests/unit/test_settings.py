"""Settings: one message that names every variable that is missing or malformed."""

from __future__ import annotations

import pytest

from castiel.errors import ConfigurationError
from castiel.settings import Settings, load_settings

LOCAL = {
    "CASTIEL_ENVIRONMENT": "local",
    "COSMOS_ENDPOINT": "http://127.0.0.1:8081/",
    "COSMOS_KEY": "bG9jYWw=",
    "SERVICE_BUS_CONNECTION_STRING": "Endpoint=sb://127.0.0.1;UseDevelopmentEmulator=true",
    "KEY_VAULT_URL": "https://127.0.0.1:8443/",
    "KEY_VAULT_STATIC_TOKEN": "local",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
}
CLOUD = {
    "COSMOS_ENDPOINT": "https://castiel.documents.azure.com:443/",
    "SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace": "castiel-sb.servicebus.windows.net",
    "KEY_VAULT_URL": "https://castiel-kv.vault.azure.net/",
    "REDIS_URL": "rediss://castiel.redis.azure.net:10000",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    names = [*(name.upper() for name in Settings.model_fields), *CLOUD, *LOCAL]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def use(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


@pytest.mark.parametrize("values", [LOCAL, CLOUD], ids=["local", "cloud"])
def test_good_settings_load(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    use(environment, values)
    assert load_settings().service_bus_queue == "sync-inbound"


def test_every_missing_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SYNC_MAX_RETRIES", "many")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    text = str(caught.value)
    for name in (
        "COSMOS_ENDPOINT",
        "SERVICE_BUS_CONNECTION_STRING",
        "KEY_VAULT_URL",
        "REDIS_URL",
        "SYNC_MAX_RETRIES",
    ):
        assert name in text


def test_service_bus_needs_exactly_one_way_in(environment: pytest.MonkeyPatch) -> None:
    use(environment, {k: v for k, v in LOCAL.items() if not k.startswith("SERVICE_BUS")})
    with pytest.raises(ConfigurationError, match="SERVICE_BUS_CONNECTION_STRING"):
        load_settings()


def test_the_cloud_refuses_what_is_local_only_or_plain_text(environment: pytest.MonkeyPatch) -> None:
    use(environment, CLOUD | {"KEY_VAULT_STATIC_TOKEN": "local"})
    with pytest.raises(ConfigurationError, match="KEY_VAULT_STATIC_TOKEN"):
        load_settings()
    environment.delenv("KEY_VAULT_STATIC_TOKEN")
    environment.setenv("REDIS_URL", "redis://castiel.redis.azure.net:6379")
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        load_settings()


def test_the_static_token_is_refused_for_any_other_host(environment: pytest.MonkeyPatch) -> None:
    use(environment, LOCAL | {"KEY_VAULT_URL": "https://castiel-kv.vault.azure.net/"})
    with pytest.raises(ConfigurationError, match="KEY_VAULT_URL"):
        load_settings()


def test_secrets_are_masked(environment: pytest.MonkeyPatch) -> None:
    use(
        environment,
        LOCAL | {"COSMOS_KEY": "do-not-show-me", "REDIS_URL": "redis://:do-not-show-me@127.0.0.1:1"},
    )
    assert "do-not-show-me" not in repr(load_settings())
    environment.setenv("REDIS_URL", "http://:do-not-show-me@127.0.0.1:1")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "do-not-show-me" not in str(caught.value)
