"""What operators do with registrations: create, try, list, rotate, pause, delete, and ask how they are.

A person sets the address and the secret at the provider, or :class:`~castiel.services.webhooks.at_provider.ProviderWebhooks`
does, where the provider's API makes webhooks. Where it takes a new secret, rotation uses it.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from pydantic import SecretStr

from castiel.domain.signatures import OidcScheme, RsaScheme
from castiel.domain.webhook_health import HEALTH_WINDOW, RegistrationHealth, assess
from castiel.domain.webhooks import Registration, WebhookAction, WebhookAudit
from castiel.errors import InvalidInput, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import ConnectionStore, RegistrationStore, WebhookAuditStore
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.documents import update_registration
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.integrations import Integrations
from castiel.services.webhooks.registration_secrets import RegistrationSecrets
from castiel.services.webhooks.registrations import RegistrationCache
from castiel.services.webhooks.trial import TrialDelivery, send_trial
from castiel.services.webhooks.verification import checked_scheme, read_scheme

logger = logging.getLogger(__name__)

ID_BYTES = 16
"""128 bits from the system's own source: nobody guesses a registration."""
MOST_DELIVERIES = 5_000
"""A verdict looks at no more deliveries than this, the newest."""
LARGEST_BODY = 1_400_000


@dataclass(frozen=True, slots=True)
class NewRegistration:
    """A registration to create. Without a scheme it is the provider's own; without a secret one is generated.

    ``settings``: the provider's (``botId``, ``teamId``, …), and ``publicKeys`` or ``jwksUrl`` for asymmetric schemes.
    """

    tenant_id: str
    connection_id: str
    scheme: str | dict[str, Any] | None = None
    secret: SecretStr | None = None
    events: tuple[str, ...] = ("*",)
    action: WebhookAction = WebhookAction.PROPAGATE
    rate_limit_per_minute: int | None = None
    max_body_bytes: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IssuedRegistration:
    """What the sender has to be told: where to send to, and the secret to sign with (shown this once)."""

    registration: Registration
    path: str
    secret: SecretStr | None = None


class WebhookRegistrations:
    """Every method raises :class:`NotFound` for a registration that the tenant does not have."""

    def __init__(
        self,
        registrations: RegistrationStore,
        connections: ConnectionStore,
        audit: WebhookAuditStore,
        credentials: SecureCredentialService,
        rotation: SecretRotation,
        integrations: Integrations,
        cache: RegistrationCache,
        clock: Clock,
    ) -> None:
        self._registrations = registrations
        self._connections = connections
        self._audit = audit
        self._secrets = RegistrationSecrets(credentials)
        self._rotation = rotation
        self._integrations = integrations
        self._cache = cache
        self._clock = clock

    async def create(self, new: NewRegistration) -> IssuedRegistration:
        """Issue an endpoint to a connection. Raises :class:`InvalidInput`, naming the field."""
        connection = await self._connections.get(new.tenant_id, new.connection_id)
        provider = self._integrations.provider(connection.integration_id)
        scheme = new.scheme if new.scheme is not None else provider.webhooks.signature_preset
        parsed = checked_scheme(scheme)
        _check(new)
        registration = Registration(
            id=f"wh-{secrets.token_hex(ID_BYTES)}",
            tenant_id=new.tenant_id,
            integration_id=connection.integration_id,
            connection_id=connection.id,
            scheme=scheme,
            events=list(new.events),
            action=new.action,
            rate_limit_per_minute=new.rate_limit_per_minute,
            max_body_bytes=new.max_body_bytes,
            settings=dict(new.settings),
            created_at=self._clock.now(),
        )
        brings_its_own = hasattr(provider.webhooks, "offered_secret") and new.secret is None
        secret = None
        if brings_its_own:
            registration.pending_verification = True
        elif not isinstance(parsed, OidcScheme | RsaScheme):
            secret = await self._secrets.issue(registration, new.secret)
        await self._registrations.create(registration)
        logger.info("registration created", extra=_dimensions(registration))
        return IssuedRegistration(registration, path_of(registration), secret)

    async def get(self, tenant_id: str, registration_id: str) -> Registration:
        """The registration as it is stored."""
        registration = await self._registrations.get(registration_id)
        if registration.tenant_id != tenant_id:
            raise NotFound("no such registration")
        return registration

    async def verify(self, tenant_id: str, registration_id: str, base_url: str) -> TrialDelivery:
        """Send ourselves a signed delivery that changes nothing, through the door at ``base_url``.

        Raises :class:`InvalidInput` for a scheme whose private key only the sender has.
        """
        registration = await self.get(tenant_id, registration_id)
        scheme = read_scheme(registration.scheme)
        if isinstance(scheme, OidcScheme | RsaScheme) or not registration.secret_names:
            raise InvalidInput(f"registration {registration_id}: only its sender can sign for it")
        secret = (await self._secrets.newest(registration)).get_secret_value().encode()
        return await send_trial(base_url, path_of(registration), scheme, secret, self._clock)

    async def rotate(self, tenant_id: str, registration_id: str) -> SecretStr:
        """A new secret; the old one is accepted until the overlap is over and the sender is seen to use the new one.

        Raises :class:`InvalidInput` for a registration whose secret is not Castiel's to make.
        """
        registration = await self.get(tenant_id, registration_id)
        if registration.credential_id is None:
            raise InvalidInput(f"registration {registration_id}: its sender chooses the secret")
        await self._rotation.rotate(tenant_id, registration.credential_id)
        self._cache.forget(registration_id)
        return await self._secrets.newest(await self.get(tenant_id, registration_id))

    async def pause(self, tenant_id: str, registration_id: str) -> Registration:
        """Take nothing until it is resumed. What happens meanwhile is found by the connection's next sync."""
        return await self._set(tenant_id, registration_id, enabled=False)

    async def resume(self, tenant_id: str, registration_id: str) -> Registration:
        """Take deliveries again."""
        return await self._set(tenant_id, registration_id, enabled=True)

    async def reopen(self, tenant_id: str, registration_id: str) -> Registration:
        """Await a verification token again: the sender's subscription was made anew, with another secret."""
        registration = await self.get(tenant_id, registration_id)
        if not hasattr(self._integrations.provider(registration.integration_id).webhooks, "offered_secret"):
            raise InvalidInput(f"registration {registration_id}: its sender hands over no token")

        def change(current: Registration) -> None:
            nonlocal registration
            registration = current.copy_of()
            current.pending_verification = True
            current.secret_names = []

        changed = await self._changed(registration, change)
        await self._secrets.delete_taken(registration)
        return changed

    async def delete(self, tenant_id: str, registration_id: str) -> None:
        """Forget it, and its secret."""
        registration = await self.get(tenant_id, registration_id)
        await self._registrations.delete(registration)
        self._cache.forget(registration_id)
        await self._secrets.delete(registration)
        logger.info("registration deleted", extra=_dimensions(registration))

    async def health(self, tenant_id: str, registration_id: str) -> RegistrationHealth:
        """The verdict over the last 24 hours, with recommendations."""
        registration = await self.get(tenant_id, registration_id)
        now = self._clock.now()
        return assess(registration, await self._newest(registration_id, HEALTH_WINDOW), now)

    async def deliveries(self, tenant_id: str, registration_id: str, limit: int = 50) -> list[WebhookAudit]:
        """The records of its newest deliveries of the last 30 days."""
        await self.get(tenant_id, registration_id)
        return list(islice(await self._newest(registration_id, timedelta(days=30), limit), limit))

    async def _newest(
        self, registration_id: str, window: timedelta, limit: int = MOST_DELIVERIES
    ) -> list[WebhookAudit]:
        found: list[WebhookAudit] = []
        async for delivery in self._audit.of_registration(registration_id, self._clock.now() - window):
            found.append(delivery)
            if len(found) == limit:
                break
        return found

    async def _set(self, tenant_id: str, registration_id: str, *, enabled: bool) -> Registration:
        def change(current: Registration) -> None:
            current.enabled = enabled

        return await self._changed(await self.get(tenant_id, registration_id), change)

    async def _changed(self, registration: Registration, change: Any) -> Registration:
        changed = await update_registration(self._registrations, registration.id, change)
        self._cache.forget(registration.id)
        return changed

    async def list(self, tenant_id: str) -> list[Registration]:
        """All of a tenant's registrations."""
        return [registration async for registration in self._registrations.of_tenant(tenant_id)]


def path_of(registration: Registration) -> str:
    """Where the sender posts to, behind the app's own address."""
    return f"/webhooks/{registration.id}/events"


def _check(new: NewRegistration) -> None:
    if not new.events or not all(new.events):
        raise InvalidInput("events: give at least one pattern, * for all")
    for name, value in (
        ("rateLimitPerMinute", new.rate_limit_per_minute),
        ("maxBodyBytes", new.max_body_bytes),
    ):
        if value is not None and value < 1:
            raise InvalidInput(f"{name}: give a number above 0")
    if (new.max_body_bytes or 0) > LARGEST_BODY:
        raise InvalidInput(f"maxBodyBytes: at most {LARGEST_BODY}, so that a delivery fits its audit record")


def _dimensions(registration: Registration) -> dict[str, str]:
    return {
        "registrationId": registration.id,
        "tenantId": registration.tenant_id,
        "integrationId": registration.integration_id,
    }
