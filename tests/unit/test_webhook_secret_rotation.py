"""Webhook secrets over fakes: both accepted while it overlaps, the old one dropped when the sender has the new one."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr

from castiel.adapters.base import Adapter
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential, CredentialType
from castiel.domain.model import utc_date
from castiel.domain.rotation import DEFAULT_POLICIES, RotationState, rotation_state, warn_at
from castiel.domain.webhooks import Registration, WebhookAudit
from castiel.services.credentials.management import NewCredential
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.integrations import Integrations
from castiel.services.webhooks.renewal import WebhookRenewal
from tests.support.credentials import TENANT, World
from tests.support.fakes.authorization_server import provider_with
from tests.support.fakes.crash import Crash
from tests.support.fakes.documents import MemoryRegistrations, MemoryWebhookAudit

DAY = timedelta(days=1).total_seconds()
RUN = timedelta(hours=6).total_seconds()


class Webhooks:
    """A registration with its secret, and the rotation over it."""

    def __init__(self, world: World, *, has_api: bool) -> None:
        self.world = world
        self.registrations = MemoryRegistrations()
        self.audit = MemoryWebhookAudit()
        self.at_provider: list[str] = []
        self.told_at: list[datetime] = []
        if has_api:
            provider = replace(provider_with(world.server), set_webhook_secret=self._set)
            world.providers = ProviderRegistry([provider])
        self.service = world.process()

    async def _set(self, adapter: Adapter, registration: Registration, secret: SecretStr) -> bool:
        self.at_provider.append(secret.get_secret_value())
        self.told_at.append(self.world.clock.now())
        return True

    @property
    def rotation(self) -> SecretRotation:
        world = self.world
        integrations = Integrations(world.providers, world.http, self.service, None, world.clock)  # type: ignore[arg-type]
        return SecretRotation(
            world.credentials,
            self.registrations,
            world.connections,
            self.audit,
            world.vault,
            world.providers,
            integrations,
            world.clock,
            WebhookRenewal(self.registrations, world.connections, world.vault, integrations, world.clock),
            self.service.refreshing,
        )

    async def plant(self) -> Credential:
        await self.world.connections.create(
            Connection(id="conn-1", tenant_id=TENANT, integration_id="salesforce", credential_id="cred-1")
        )
        credential = await self.service.manage.store(
            NewCredential(
                "hook-1", TENANT, "salesforce", CredentialType.WEBHOOK_SECRET, registration_id="reg-1"
            )
        )
        await self.registrations.create(
            Registration(
                id="reg-1",
                tenant_id=TENANT,
                integration_id="salesforce",
                connection_id="conn-1",
                scheme="castiel",
                secret_names=[credential.secret_name],
            )
        )
        return credential

    async def accepted(self) -> list[str]:
        """The secrets that a receiver would accept now, newest first."""
        names = (await self.registrations.get("reg-1")).secret_names
        return [await self.service.read_secret(name) for name in names]

    async def delivery(self, secret_index: int) -> None:
        now = self.world.clock.now()
        await self.audit.put(
            WebhookAudit(
                id=f"delivery-{now.timestamp()}",
                registration_id="reg-1",
                received_on=utc_date(now),
                received_at=now,
                verified=True,
                secret_index=secret_index,
            )
        )


async def rotated(*, has_api: bool) -> tuple[Webhooks, list[str]]:
    """After the run that found the secret due."""
    webhooks = Webhooks(World(), has_api=has_api)
    await webhooks.plant()
    first = await webhooks.accepted()
    await webhooks.rotation.run()
    assert await webhooks.accepted() == first
    webhooks.world.clock.advance(180 * DAY)
    await webhooks.rotation.run()
    return webhooks, first


async def test_both_are_accepted_while_it_overlaps_and_then_only_the_new_one() -> None:
    webhooks, [old] = await rotated(has_api=True)
    new, also = await webhooks.accepted()
    assert also == old
    assert new != old
    assert webhooks.at_provider == [new]

    webhooks.world.clock.advance(6 * DAY)
    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new, old]
    webhooks.world.clock.advance(DAY)
    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new]
    credential = await webhooks.world.credentials.get(TENANT, "hook-1")
    assert len(await webhooks.world.vault.versions(credential.secret_name)) == 2
    webhooks.world.clock.advance(RUN)
    await webhooks.rotation.run()
    credential = await webhooks.world.credentials.get(TENANT, "hook-1")
    assert credential.overlap is None
    assert await webhooks.world.vault.versions(credential.secret_name) == [credential.secret_version]
    assert credential.warn_at == (credential.last_rotated_at or webhooks.world.clock.now()) + timedelta(
        days=180
    )
    assert webhooks.at_provider == [new]


async def test_the_provider_is_told_only_when_every_receiver_has_read_the_new_secret() -> None:
    webhooks, _ = await rotated(has_api=True)
    assert 60.0 in webhooks.world.clock.slept


async def test_a_rotation_begun_by_a_person_a_moment_before_the_run_settles_first() -> None:
    webhooks = Webhooks(World(), has_api=True)
    await webhooks.plant()
    begun = webhooks.world.clock.now()
    await webhooks.rotation.rotate(TENANT, "hook-1")
    webhooks.world.clock.advance(5)
    await webhooks.rotation.run()
    assert len(webhooks.at_provider) == 1
    assert webhooks.told_at[0] - begun >= timedelta(minutes=1)


async def test_without_an_api_the_old_one_stays_until_a_delivery_shows_the_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhooks, [old] = await rotated(has_api=False)
    new, _ = await webhooks.accepted()
    webhooks.world.clock.advance(8 * DAY)
    await webhooks.delivery(secret_index=1)
    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new, old]
    assert any(r.__dict__.get("alert") == "webhook_secret_unconfirmed" for r in caplog.records)

    webhooks.world.clock.advance(60)
    await webhooks.delivery(secret_index=0)
    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new]


async def test_a_person_may_confirm_in_place_of_a_delivery() -> None:
    webhooks, _ = await rotated(has_api=False)
    new, _ = await webhooks.accepted()
    await webhooks.rotation.confirm(TENANT, "hook-1")
    webhooks.world.clock.advance(8 * DAY)
    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new]


async def test_a_rotation_that_was_cut_off_goes_on_and_makes_no_third_secret() -> None:
    webhooks = Webhooks(World(), has_api=True)
    await webhooks.plant()
    [old] = await webhooks.accepted()
    webhooks.world.clock.advance(180 * DAY)
    webhooks.world.crash.at = "after-vault"
    with pytest.raises(Crash):
        await webhooks.rotation.run()
    new, also = await webhooks.accepted()
    assert also == old

    await webhooks.rotation.run()
    assert await webhooks.accepted() == [new, old]
    await webhooks.rotation.run()
    assert webhooks.at_provider[-1] == new


async def test_a_person_who_rotates_while_the_old_secret_is_being_dropped_does_not_bring_it_back() -> None:
    webhooks, [old] = await rotated(has_api=True)
    webhooks.world.clock.advance(7 * DAY)
    await webhooks.rotation.run()
    [second] = await webhooks.accepted()
    await webhooks.rotation.rotate(TENANT, "hook-1")
    assert old not in await webhooks.accepted()
    third, before = await webhooks.accepted()
    assert before == second
    assert third not in (old, second)
    for _ in range(3):
        webhooks.world.clock.advance(7 * DAY)
        await webhooks.rotation.run()
    assert await webhooks.accepted() == [third]
    credential = await webhooks.world.credentials.get(TENANT, "hook-1")
    assert await webhooks.world.vault.versions(credential.secret_name) == [credential.secret_version]


async def test_what_castiel_can_not_rotate_is_warned_of_in_time(caplog: pytest.LogCaptureFixture) -> None:
    webhooks = Webhooks(World(), has_api=False)
    manage = webhooks.service.manage
    await manage.store(
        NewCredential("key-1", TENANT, "notion", CredentialType.API_KEY, SecretStr("made-up-api-key"))
    )
    await webhooks.rotation.run()
    assert caplog.records == []
    webhooks.world.clock.advance(76 * DAY)
    await webhooks.rotation.run()
    webhooks.world.clock.advance(14 * DAY)
    await webhooks.rotation.run()
    said = [(r.getMessage(), r.levelno) for r in caplog.records]
    assert said == [
        ("Credential key-1 should be replaced: warn", logging.WARNING),
        ("Credential key-1 should be replaced: due", logging.WARNING),
    ]


@pytest.mark.parametrize(
    ("kind", "max_age", "warn"),
    [
        ("apiKey", 90, 14),
        ("basicAuthPassword", 90, 14),
        ("clientCertificate", 365, 30),
        ("clientPrivateKey", 365, 30),
        ("webhookSecret", 180, 14),
    ],
)
def test_the_default_policies(kind: str, max_age: int, warn: int) -> None:
    policy = DEFAULT_POLICIES[kind]
    assert (policy.max_age_days, policy.warn_days, policy.automatic) == (
        max_age,
        warn,
        kind == "webhookSecret",
    )


def test_an_expiry_is_warned_of_before_a_distant_rotation() -> None:
    now = World().clock.now()
    policy = DEFAULT_POLICIES["clientCertificate"]
    expires = now + timedelta(days=31)
    assert warn_at(policy, now, expires) == now + timedelta(days=1)
    states = [rotation_state(policy, now, expires, now + timedelta(days=day)) for day in (0, 1, 31)]
    assert states == [RotationState.OK, RotationState.WARN, RotationState.EXPIRED]
    assert rotation_state(None, now, None, now + timedelta(days=9999)) is RotationState.OK
