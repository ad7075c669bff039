"""Settings: one message that names every variable that is missing or malformed."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest
from pydantic import ValidationError

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


PASSWORD = "hunter2-do-not-show"
SECRETS = [
    name.upper() for name, each in Settings.model_fields.items() if "SecretStr" in str(each.annotation)
]
ADDRESSES = [
    "COSMOS_ENDPOINT", "KEY_VAULT_URL", "EVENT_GRID_TOPIC_ENDPOINT", "CASTIEL_SANDBOX_URL", "REDIS_URL",
]  # fmt: skip
ODD = {
    "a letter that is another when normalised": "redis://user:{}\u2100@127.0.0.1:6379",
    "a full-width slash": "https://user:{}\uff0f@127.0.0.1:443/",
    "brackets": "redis://:[{}]@127.0.0.1:6379",
    "half a bracket": "redis://:{}@[::1",
    "a slash": "rediss://:{}/more@127.0.0.1:6379",
    "a question mark": "https://:{}?more@127.0.0.1:443",
    "a hash": "rediss://:{}#more@127.0.0.1:6379",
    "in the port's place": "https://127.0.0.1:{}",
    "another scheme": "ftp://user:{}@127.0.0.1",
    "as the scheme": "{}://127.0.0.1",
    "no address at all": "{}",
    "bytes that are no text": "redis://:{}\udcff@127.0.0.1:6379",
    "a connection string": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=n;SharedAccessKey={}\u2100;=;;",
    "a line break": "redis://:{}\n@127.0.0.1:port",
}
"""Malformed values that hold a password."""


def test_the_secret_settings_are_known() -> None:
    assert {"REDIS_URL", "COSMOS_KEY", "SERVICE_BUS_CONNECTION_STRING", "KEY_VAULT_STATIC_TOKEN"} < set(
        SECRETS
    )


@pytest.mark.parametrize("beside", ["nothing else", "another error", "an inconsistency"])
@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("name", sorted({*SECRETS, *ADDRESSES}))
def test_no_error_holds_what_a_secret_setting_was_given(
    environment: pytest.MonkeyPatch, name: str, odd: str, beside: str
) -> None:
    use(environment, LOCAL | {name: ODD[odd].format(PASSWORD)})
    if beside == "another error":
        environment.setenv("SYNC_MAX_RETRIES", "many")
    elif beside == "an inconsistency":
        environment.setenv(
            "SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace", "both.servicebus.windows.net"
        )
    failures = [error for error in (failure(load_settings), failure(Settings)) if error is not None]
    assert len(failures) == 2 or beside == "nothing else"
    for error in failures:
        for text in (str(error), repr(error), "".join(traceback.format_exception(error))):
            assert PASSWORD not in text
            assert PASSWORD[:7] not in text
    if failures:
        # Nor is there another error behind ours, which a log of all that is known of it would show.
        assert (failures[0].__cause__, failures[0].__context__) == (None, None)


def failure(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except (ConfigurationError, ValidationError) as error:
        return error
    return None


@pytest.mark.parametrize(
    "odd", [odd for odd, value in ODD.items() if not value.startswith("redis://:{}\udcff")]
)
def test_a_redis_address_that_cannot_be_read_is_named(environment: pytest.MonkeyPatch, odd: str) -> None:
    use(environment, LOCAL | {"REDIS_URL": ODD[odd].format(PASSWORD)})
    with pytest.raises(ConfigurationError, match="REDIS_URL: "):
        load_settings()


def test_a_password_of_any_letters_is_taken_when_it_is_encoded(environment: pytest.MonkeyPatch) -> None:
    password = quote("p/a?s#s@[w]o:r\u2100d", safe="")
    url = f"redis://:{password}@127.0.0.1:6379/0"
    use(environment, LOCAL | {"REDIS_URL": url})
    assert load_settings().redis_url.get_secret_value() == url
