"""The SDK clients of one process, by settings: managed identity in the cloud, keys and the emulators locally."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp
from azure.core.credentials import AccessToken, AccessTokenInfo, AzureKeyCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient
from azure.eventgrid.aio import EventGridPublisherClient
from azure.identity.aio import DefaultAzureCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.servicebus.aio import ServiceBusClient
from redis.asyncio import Redis

from castiel.azure import cosmos_client, redis_client
from castiel.errors import ConfigurationError
from castiel.settings import Settings

STATIC_TOKEN_LIFETIME = 4_102_444_800
"""2100-01-01: the emulator's token does not expire."""
REDIS_TOKEN_MILLISECONDS = 10_000
"""How long a token for Redis may take."""


class StaticCredential:
    """The token of the local Key Vault emulator; :mod:`castiel.settings` refuses it for any other host."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, STATIC_TOKEN_LIFETIME)

    async def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self._token, STATIC_TOKEN_LIFETIME)

    async def close(self) -> None:
        return None

    async def __aenter__(self) -> StaticCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@dataclass
class AzureClients:
    """What must be closed when a process of its own making (a CLI, a test) ends; the host's never does."""

    identity: DefaultAzureCredential | None
    cosmos: CosmosClient
    service_bus: ServiceBusClient
    key_vault: SecretClient
    redis: Redis
    event_grid: EventGridPublisherClient | None

    async def aclose(self) -> None:
        """Close every client."""
        await self.service_bus.close()
        await self.cosmos.close()
        await self.key_vault.close()
        if self.event_grid is not None:
            await self.event_grid.close()
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()
        if self.identity is not None:
            await self.identity.close()


def build_clients(settings: Settings) -> AzureClients:
    """All clients. Nothing is called yet; call it inside the loop that will use them."""
    identity = _identity(settings)
    return AzureClients(
        identity=identity,
        cosmos=cosmos_client.build_client(
            settings.cosmos_endpoint,
            settings.cosmos_key.get_secret_value() if settings.cosmos_key else identity,
        ),
        service_bus=_service_bus(settings, identity),
        key_vault=_key_vault(settings, identity),
        redis=_redis(settings),
        event_grid=_event_grid(settings, identity),
    )


def _identity(settings: Settings) -> DefaultAzureCredential | None:
    everything_keyed = (
        settings.cosmos_key is not None
        and settings.service_bus_connection_string is not None
        and settings.key_vault_static_token is not None
        and (settings.event_grid_topic_endpoint is None or settings.event_grid_topic_key is not None)
    )
    if everything_keyed:
        return None
    return DefaultAzureCredential(managed_identity_client_id=settings.azure_client_id)


def _service_bus(settings: Settings, identity: Any) -> ServiceBusClient:
    options: dict[str, Any] = {"retry_total": 2, "retry_backoff_factor": 0.3, "retry_backoff_max": 3}
    if settings.service_bus_connection_string is not None:
        return ServiceBusClient.from_connection_string(
            settings.service_bus_connection_string.get_secret_value(), **options
        )
    return ServiceBusClient(settings.service_bus_namespace or "", identity, **options)


def _key_vault(settings: Settings, identity: Any) -> SecretClient:
    if settings.key_vault_static_token is None:
        return SecretClient(settings.key_vault_url, identity)
    # The emulator's challenge names vault.azure.net, which is not where it listens: checked off for loopback only.
    return SecretClient(
        settings.key_vault_url,
        StaticCredential(settings.key_vault_static_token.get_secret_value()),
        verify_challenge_resource=False,
        **({"transport": _trusting(settings.key_vault_ca_file)} if settings.key_vault_ca_file else {}),
        retry_total=2,
        retry_backoff_factor=0.2,
    )


def _trusting(ca_file: str) -> AioHttpTransport:
    """HTTP that trusts the emulator's certificate, by one TLS context for all calls.

    ``connection_verify`` with a path makes the SDK build a context, and so a new connection, for each call.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"KEY_VAULT_CA_FILE: {ca_file} can't be used ({error.strerror or 'no certificate'})"
        ) from error
    connector = aiohttp.TCPConnector(ssl=context)
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
    return AioHttpTransport(session=session)


def _redis(settings: Settings) -> Redis:
    provider = None
    if settings.redis_use_entra:
        from redis.auth.token_manager import RetryPolicy, TokenManagerConfig
        from redis_entraid.cred_provider import (
            DEFAULT_EXPIRATION_REFRESH_RATIO,
            create_from_default_azure_credential,
        )

        # The library allows a token a tenth of a second, which the first one of a managed identity takes often.
        config = TokenManagerConfig(
            expiration_refresh_ratio=DEFAULT_EXPIRATION_REFRESH_RATIO,
            lower_refresh_bound_millis=0,
            token_request_execution_timeout_in_ms=REDIS_TOKEN_MILLISECONDS,
            retry_policy=RetryPolicy(max_attempts=3, delay_in_ms=500),
        )
        provider = create_from_default_azure_credential(
            ("https://redis.azure.com/.default",), token_manager_config=config
        )
    return redis_client.build_client(settings.redis_url.get_secret_value(), credential_provider=provider)


def _event_grid(settings: Settings, identity: Any) -> EventGridPublisherClient | None:
    if settings.event_grid_topic_endpoint is None:
        return None
    key = settings.event_grid_topic_key
    credential = AzureKeyCredential(key.get_secret_value()) if key else identity
    return EventGridPublisherClient(
        settings.event_grid_topic_endpoint,
        credential,
        retry_total=1,
        transport=cosmos_client.http_transport(),
    )
