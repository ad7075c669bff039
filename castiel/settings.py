"""Every environment variable Castiel reads: typed, checked at start, secrets masked."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from castiel.errors import ConfigurationError

NEITHER_BUS = (
    "SERVICE_BUS_CONNECTION_STRING: give it, or SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace"
    " (managed identity), exactly one of them"
)
LOCAL_ONLY = frozenset(
    {
        "COSMOS_KEY",
        "SERVICE_BUS_CONNECTION_STRING",
        "EVENT_GRID_TOPIC_KEY",
        "KEY_VAULT_CA_FILE",
        "KEY_VAULT_STATIC_TOKEN",
        "CASTIEL_SANDBOX_URL",
    }
)
"""In the cloud, identities take the place of the keys, and the others are refused."""
CLOUD_ONLY = frozenset(
    {"SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace", "REDIS_USE_ENTRA", "AZURE_CLIENT_ID"}
)
"""Managed identity: a local run has none."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(BaseSettings):
    """The settings by their environment names. Durations say their unit in the name."""

    model_config = SettingsConfigDict(
        case_sensitive=False, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    castiel_environment: Literal["cloud", "local"] = Field(
        default="cloud",
        description="`local` allows the emulators: self-signed Key Vault, static token, sandbox.",
    )

    cosmos_endpoint: str = Field(description="Cosmos DB account endpoint, https://….documents.azure.com:443/")
    cosmos_key: SecretStr | None = Field(
        default=None, description="Account key; without it, managed identity."
    )
    cosmos_database: str = Field(default="castiel", description="Database name.")
    cosmos_container: str = Field(default="sync-tasks", description="Container of the sync tasks.")
    sync_results_container: str = Field(default="sync-results", description="Container of the results.")
    credentials_container: str = Field(default="credentials", description="Container of credential metadata.")

    service_bus_connection_string: SecretStr | None = Field(
        default=None, description="Connection string, for local runs; in the cloud use the namespace instead."
    )
    service_bus_namespace: str | None = Field(
        default=None,
        validation_alias="SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace",
        description="….servicebus.windows.net: identity-based connection, of the triggers and of the senders.",
    )
    service_bus_queue: str = Field(default="sync-inbound", description="Queue of the inbound worker.")
    service_bus_queue_outbound: str = Field(
        default="sync-outbound", description="Queue of the outbound worker."
    )

    key_vault_url: str = Field(description="Key Vault, https://….vault.azure.net/")
    redis_url: SecretStr = Field(description="rediss://host:10000 in the cloud, redis:// on this machine.")
    redis_use_entra: bool = Field(
        default=False, description="Authenticate to Redis with the managed identity."
    )
    event_grid_topic_endpoint: str | None = Field(
        default=None, description="Topic for events; none without it."
    )
    event_grid_topic_key: SecretStr | None = Field(
        default=None, description="Topic key; else managed identity."
    )
    azure_client_id: str | None = Field(default=None, description="Client id of the user-assigned identity.")

    sync_batch_size: int = Field(default=100, ge=1, le=100, description="Records stored per step of a page.")
    sync_max_retries: int = Field(
        default=3, ge=0, le=20, description="Retries of a message before it is given up."
    )
    sync_retry_base_seconds: float = Field(
        default=2.0, gt=0, le=300, description="First step of the backoff."
    )
    sync_time_budget_seconds: float = Field(
        default=480, gt=0, le=1800, description="A run stops at a checkpoint after this long, and continues."
    )
    sync_lease_seconds: float = Field(
        default=30, ge=1, le=300, description="Life of a worker's lease, renewed."
    )
    sync_message_ttl_seconds: int = Field(
        default=3600, ge=60, description="Life of a task's message in its queue."
    )
    sync_concurrency: int = Field(
        default=8, ge=1, le=64, description="Records or calls in flight per invocation."
    )
    deletion_guard_percent: float = Field(
        default=20,
        ge=0,
        le=100,
        description="A full pass deletes at most this share without a person's word.",
    )

    token_expiry_threshold_minutes: float = Field(
        default=60, ge=1, description="Refresh what expires within this."
    )
    token_refresh_interval_minutes: float = Field(
        default=360, ge=1, description="Time between two refresh runs."
    )
    token_refresh_per_second: float = Field(
        default=25,
        gt=0,
        le=1000,
        description="Refreshes per second; Key Vault takes 30 new versions a second.",
    )
    token_keep_alive_days: float = Field(
        default=7, gt=0, description="A refresh token that nothing else uses is used at least so often."
    )
    max_refresh_retries: int = Field(default=3, ge=0, le=10, description="Retries of one token refresh.")

    tenant_rate_limit_per_minute: int = Field(default=5000, ge=1, description="Calls per minute and tenant.")
    webhook_rate_limit_per_minute: int = Field(
        default=100, ge=1, description="Deliveries per minute, registration."
    )
    rate_limiter_expected_instances: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Without Redis, each instance allows itself this part (1/n) of every limit.",
    )
    webhook_max_body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest webhook body taken.")
    provider_timeout_seconds: float = Field(
        default=30, gt=0, le=120, description="Time for one provider answer."
    )

    key_vault_ca_file: str | None = Field(
        default=None, description="Local only: certificate of the emulator."
    )
    key_vault_static_token: SecretStr | None = Field(
        default=None, description="Local only: token for the emulator."
    )
    castiel_sandbox_url: str | None = Field(default=None, description="Local only: the providers' sandbox.")

    @field_validator("cosmos_endpoint", "key_vault_url", "event_grid_topic_endpoint", "castiel_sandbox_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = _split(value)
            if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("give a whole address, https://…")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr) -> SecretStr:
        parts = _split(value.get_secret_value())
        if parts is None:
            raise ValueError(
                "its host or port can't be read: what is no letter or digit in a password is percent-encoded"
            )
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("give rediss://host:port (or redis:// on this machine)")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Settings:
        if (self.service_bus_connection_string is None) == (self.service_bus_namespace is None):
            raise ValueError(NEITHER_BUS)
        local_only = {
            "KEY_VAULT_CA_FILE": self.key_vault_ca_file,
            "KEY_VAULT_STATIC_TOKEN": self.key_vault_static_token,
            "CASTIEL_SANDBOX_URL": self.castiel_sandbox_url,
        }
        given = [name for name, value in local_only.items() if value is not None]
        if self.castiel_environment == "cloud":
            if given:
                raise ValueError(f"{', '.join(given)}: only with CASTIEL_ENVIRONMENT=local")
            insecure = [
                name
                for name, url in (
                    ("COSMOS_ENDPOINT", self.cosmos_endpoint),
                    ("KEY_VAULT_URL", self.key_vault_url),
                    ("EVENT_GRID_TOPIC_ENDPOINT", self.event_grid_topic_endpoint),
                    ("REDIS_URL", self.redis_url.get_secret_value()),
                )
                if url and urlsplit(url).scheme not in ("https", "rediss")
            ]
            if insecure:
                raise ValueError(
                    f"{', '.join(insecure)}: must be encrypted (https://, rediss://) in the cloud"
                )
        elif urlsplit(self.key_vault_url).hostname not in LOOPBACK and given[:2]:
            # A self-signed certificate and a static token are for the emulator alone.
            raise ValueError(
                "KEY_VAULT_URL: KEY_VAULT_CA_FILE and KEY_VAULT_STATIC_TOKEN are for this machine only"
            )
        return self


def load_settings() -> Settings:
    """The settings from the environment.

    Raises :class:`ConfigurationError` with one message that names every variable that is missing or malformed.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    # Raised out here, so that the new error has no other behind it: that one holds what was given, secrets too.
    lines = [_line(problem["loc"], problem["msg"], problem["type"]) for problem in problems]
    # Pydantic checks what belongs together only when every single field is good: say this one with the others.
    if all(problem["loc"] for problem in problems) and not _bus_named():
        lines.append(NEITHER_BUS)
    raise ConfigurationError("settings:\n" + "\n".join(f"  {line}" for line in lines))


def _split(address: str) -> SplitResult | None:
    """The parts of an address; ``None`` for one that has none: the library's own words quote the password."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _bus_named() -> bool:
    names = {name.upper() for name, value in os.environ.items() if value}
    return any(name.startswith("SERVICE_BUS_CONNECTION_STRING") for name in names)


def _line(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = str(location[0]).upper() if location else ""
    if name.endswith("__FULLYQUALIFIEDNAMESPACE"):
        name = "SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace"
    if kind == "missing":
        description = Settings.model_fields[str(location[0])].description
        return f"{name}: missing. {description}"
    text = message.removeprefix("Value error, ")
    return f"{name}: {text}" if name else text
