"""Webhooks at a provider that end by themselves: the next one is made before that, and the one before deleted after.

Each look takes one step, and stores it before the next one is due::

    none yet, or it ends soon → make another, store it beside the old one → half an hour later: delete the old one

The old one works until the new one is stored, so nothing is lost wherever a run is cut off. What was made and not
stored is found by the adapter in the next run (``MadeWebhook.left``) and deleted like an old one.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from pydantic import SecretStr

from castiel.adapters.base import Adapter, CreateWebhook, DeleteWebhook, MadeWebhook
from castiel.domain.webhooks import PastWebhook, Registration, Renewal
from castiel.errors import CastielError, InvalidInput, NotFound
from castiel.ports.clock import Clock
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import ConnectionStore, RegistrationStore
from castiel.services.credentials.documents import update_registration
from castiel.services.integrations import Integrations

logger = logging.getLogger(__name__)

AHEAD = timedelta(days=1)
"""How long before its end a webhook is made anew; half of its life where that is shorter."""
OVERLAP = timedelta(minutes=30)
"""How long both work, and after how long a failed step is tried again. Less than an hour: the scheduler's next run."""
MOST = 2_000
BUDGET_SECONDS = 240.0
"""What one run may do; the rest, which was due last, waits for the next."""
AT_ONCE = 8


class WebhookRenewal:
    """Run by the scheduler; two runs at once make one webhook too many, which the one that stores second deletes."""

    def __init__(
        self,
        registrations: RegistrationStore,
        connections: ConnectionStore,
        vault: SecretVault,
        integrations: Integrations,
        clock: Clock,
    ) -> None:
        self._registrations = registrations
        self._connections = connections
        self._vault = vault
        self._integrations = integrations
        self._clock = clock

    async def run(self) -> int:
        """Look at all that is due. Returns how many were made. What fails for one is logged, and tried again.

        Raises what the store raises when it can't say what is due.
        """
        due: list[Registration] = []
        async for registration in self._registrations.to_renew(self._clock.now()):
            due.append(registration)
            if len(due) == MOST:
                break
        until = self._clock.monotonic() + BUDGET_SECONDS
        waiting = iter(due)

        async def work() -> int:
            made = 0
            for registration in waiting:
                if self._clock.monotonic() >= until:
                    break
                made += await self._look_at(registration)
            return made

        return sum(await asyncio.gather(*(work() for _ in range(AT_ONCE))))

    async def begin(self, registration: Registration, address: str) -> Registration:
        """Make a registration's first webhook, sending to ``address``.

        If this is cut off, the scheduler goes on. Raises ProviderError and what :meth:`run` would log.
        """

        def change(current: Registration) -> None:
            current.renewal = Renewal(address=address)
            current.renew_at = self._clock.now() + OVERLAP

        return await self._make(await update_registration(self._registrations, registration.id, change))

    async def take_newest_secret(self, registration: Registration) -> bool:
        """Have the provider send with the registration's newest secret: by another webhook, unless it does already.

        Returns whether it does. Raises ProviderError.
        """
        newest = (await self._vault.get(registration.secret_names[0])).version
        if registration.renewal is None or registration.renewal.secret_version != newest:
            registration = await self._make(registration)
        return registration.renewal is not None and registration.renewal.secret_version == newest

    async def _look_at(self, registration: Registration) -> bool:
        """One step. Returns whether a webhook was made."""
        try:
            if _is_due(registration.renewal, self._clock.now()):
                await self._make(registration)
                return True
            await self._clear(registration)
        except CastielError as error:
            await self._put_off(registration, error)
        return False

    async def _make(self, registration: Registration) -> Registration:
        """Make another webhook and store it; of two that do, the second deletes its own."""
        create, remove = self._calls(registration)
        renewal = registration.renewal
        if renewal is None or not registration.secret_names:
            raise InvalidInput(
                f"registration {registration.id}: no webhook of Castiel's making, or no secret"
            )
        adapter = await self._adapter(registration)
        secret = await self._vault.get(registration.secret_names[0])
        made = await create(adapter, registration, renewal.address, SecretStr(secret.value))
        before, now = renewal.made, self._clock.now()

        def change(current: Registration) -> bool:
            if current.renewal is None or current.renewal.made != before:
                return False
            _renewed(current, current.renewal, made, secret.version, now)
            return True

        try:
            stored = await update_registration(self._registrations, registration.id, change)
        except NotFound:
            # Deleted meanwhile. After any other failure it may have been stored: then it must go on.
            await remove(adapter, _naming(registration, made))
            raise
        if not _names(stored, made):
            await remove(adapter, _naming(registration, made))
            return stored
        logger.info("webhook made at the provider", extra=_dimensions(registration))
        return stored

    async def _clear(self, registration: Registration) -> None:
        """Delete what was made before at the provider, but what has ended by itself."""
        renewal = registration.renewal
        past = renewal.past if renewal else []
        now = self._clock.now()
        alive = [each for each in past if each.ends_at is None or each.ends_at > now]
        if alive:
            _, remove = self._calls(registration)
            adapter = await self._adapter(registration)
            for each in alive:
                await remove(adapter, registration.model_copy(update={"settings": each.settings}))

        def change(current: Registration) -> None:
            if current.renewal is not None:
                current.renewal.past = [each for each in current.renewal.past if each not in past]
                current.renewal.failure = None
            _schedule(current, now)

        await update_registration(self._registrations, registration.id, change)

    async def _put_off(self, registration: Registration, error: CastielError) -> None:
        """Say so, and look again later: behind all that is due by then, so that no failure holds up the rest."""
        renewal = registration.renewal
        now = self._clock.now()
        over = renewal is not None and renewal.ends_at is not None and renewal.ends_at <= now
        logger.log(
            logging.ERROR if over else logging.WARNING,
            "webhook %s can't be renewed at the provider: %s",
            registration.id,
            error,
            extra={**_dimensions(registration), "alert": "webhook_renewal", "error": error.code},
        )

        def change(current: Registration) -> None:
            if current.renewal is not None:
                current.renewal.failure = error.code
            current.renew_at = now + OVERLAP

        try:
            await update_registration(self._registrations, registration.id, change)
        except CastielError as again:
            logger.warning("a renewal's failure can't be stored: %s", again, extra=_dimensions(registration))

    async def _adapter(self, registration: Registration) -> Adapter:
        connection = await self._connections.get(registration.tenant_id, registration.connection_id)
        return self._integrations.adapter(connection)

    def _calls(self, registration: Registration) -> tuple[CreateWebhook, DeleteWebhook]:
        provider = self._integrations.provider(registration.integration_id)
        if provider.create_webhook is None or provider.delete_webhook is None:
            raise InvalidInput(f"{provider.title} has no API for webhooks")
        return provider.create_webhook, provider.delete_webhook


def _is_due(renewal: Renewal | None, now: datetime) -> bool:
    if renewal is None:
        return False
    return renewal.made == 0 or (renewal.renew_from is not None and renewal.renew_from <= now)


def _renewed(
    registration: Registration, renewal: Renewal, made: MadeWebhook, secret_version: str, now: datetime
) -> None:
    """The new one takes the place of the present one, which is past."""
    old = {name: registration.settings[name] for name in made.settings if name in registration.settings}
    left = [PastWebhook(settings=each, ends_at=made.ends_at) for each in made.left]
    renewal.past = [
        *renewal.past,
        *([PastWebhook(settings=old, ends_at=renewal.ends_at)] if old else []),
        *left,
    ]
    registration.settings = {**registration.settings, **made.settings}
    renewal.made += 1
    renewal.ends_at = made.ends_at
    renewal.renew_from = None if made.ends_at is None else made.ends_at - min(AHEAD, (made.ends_at - now) / 2)
    renewal.secret_version = secret_version
    renewal.failure = None
    _schedule(registration, now)


def _schedule(registration: Registration, now: datetime) -> None:
    renewal = registration.renewal
    if renewal is None:
        registration.renew_at = None
    elif renewal.past:
        registration.renew_at = now + OVERLAP
    else:
        registration.renew_at = renewal.renew_from


def _naming(registration: Registration, made: MadeWebhook) -> Registration:
    return registration.model_copy(update={"settings": {**registration.settings, **made.settings}})


def _names(registration: Registration, made: MadeWebhook) -> bool:
    return made.settings.items() <= registration.settings.items()


def _dimensions(registration: Registration) -> dict[str, str]:
    return {
        "registrationId": registration.id,
        "tenantId": registration.tenant_id,
        "integrationId": registration.integration_id,
    }
