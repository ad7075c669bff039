"""Webhooks that end by themselves, over fakes: there is always one, never many, wherever a run is cut off."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import CredentialType
from castiel.domain.webhook_health import Health, assess
from castiel.domain.webhooks import Registration
from castiel.errors import NotFound, StoreUnavailable
from castiel.services.credentials.management import NewCredential
from castiel.services.credentials.webhook_secrets import SecretRotation
from castiel.services.integrations import Integrations
from castiel.services.webhooks.renewal import AT_ONCE, BUDGET_SECONDS, WebhookRenewal
from tests.support.credentials import TENANT, World
from tests.support.fakes.authorization_server import provider_with
from tests.support.fakes.crash import Crash
from tests.support.fakes.documents import MemoryRegistrations, MemoryWebhookAudit
from tests.support.fakes.ending_webhooks import EndingWebhooks

HOUR = timedelta(hours=1).total_seconds()
DAY = 24 * HOUR
ADDRESS = "https://castiel.example.com/webhooks/reg-1/events"


class Registrations(MemoryRegistrations):
    """Writes may fail, before or after they are done."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_answers = False
        self.refuse = False

    async def replace(self, registration: Registration) -> Registration:
        if self.refuse:
            raise StoreUnavailable("down")
        stored = await super().replace(registration)
        if self.lose_answers:
            raise StoreUnavailable("the answer was lost")
        return stored


class Hours:
    """Registrations at a provider whose webhooks end, and the runs over them."""

    def __init__(self) -> None:
        self.world = World()
        self.provider = EndingWebhooks(self.world.clock, self.world.crash)
        made = replace(
            provider_with(self.world.server),
            create_webhook=self.provider.create,
            delete_webhook=self.provider.delete,
            webhooks_end=True,
        )
        self.world.providers = ProviderRegistry([made])
        self.service = self.world.process()
        self.registrations = Registrations()
        world = self.world
        self.integrations = Integrations(world.providers, world.http, self.service, None, world.clock)  # type: ignore[arg-type]
        self.renewal = WebhookRenewal(
            self.registrations, world.connections, world.vault, self.integrations, world.clock
        )

    async def plant(self, name: str = "reg-1") -> Registration:
        await self.world.connections.create(
            Connection(
                id=f"conn-{name}", tenant_id=TENANT, integration_id="salesforce", credential_id="cred-1"
            )
        )
        credential = await self.service.manage.store(
            NewCredential(
                f"hook-{name}", TENANT, "salesforce", CredentialType.WEBHOOK_SECRET, registration_id=name
            )
        )
        return await self.registrations.create(
            Registration(
                id=name,
                tenant_id=TENANT,
                integration_id="salesforce",
                connection_id=f"conn-{name}",
                scheme="google-channel",
                secret_names=[credential.secret_name],
                credential_id=credential.id,
                created_at=self.world.clock.now(),
            )
        )

    async def opened(self, name: str = "reg-1") -> Registration:
        return await self.renewal.begin(await self.plant(name), ADDRESS)

    async def pass_hours(self, hours: int) -> None:
        """With a scheduler's run in each, which never finds the registration without a webhook."""
        for _ in range(hours):
            self.world.clock.advance(HOUR)
            assert self.provider.alive()
            await self.renewal.run()

    async def stored(self, name: str = "reg-1") -> Registration:
        return await self.registrations.get(name)


async def test_there_is_one_at_any_time_and_two_only_for_an_hour_before_the_end() -> None:
    hours = Hours()
    first = await hours.opened()
    assert hours.provider.alive().keys() == {1}
    await hours.pass_hours(6 * 24 - 1)
    assert hours.provider.alive().keys() == {1}
    await hours.pass_hours(1)
    assert hours.provider.alive().keys() == {1, 2}
    await hours.pass_hours(1)
    assert hours.provider.alive().keys() == {2}
    await hours.pass_hours(30 * 24)
    assert len(hours.provider.alive()) == 1
    # Every six days, and each but the last deleted once.
    assert (hours.provider.made, hours.provider.closed) == (7, 6)
    stored = await hours.stored()
    assert (stored.secret_names, stored.renewal and stored.renewal.past) == (first.secret_names, [])


async def test_a_run_that_has_nothing_due_asks_the_provider_nothing() -> None:
    hours = Hours()
    await hours.opened()
    for _ in range(3):
        assert await hours.renewal.run() == 0
    assert (hours.provider.made, hours.provider.closed) == (1, 0)


@pytest.mark.parametrize("cuts", [1, 3])
async def test_what_was_made_and_not_stored_is_deleted_and_the_old_one_works_until_then(cuts: int) -> None:
    hours = Hours()
    await hours.opened()
    hours.world.clock.advance(6 * DAY)
    for _ in range(cuts):
        hours.world.crash.at = "made"
        with pytest.raises(Crash):
            await hours.renewal.run()
        assert 1 in hours.provider.alive()
        hours.world.clock.advance(HOUR)
    await hours.pass_hours(2)
    assert hours.provider.alive().keys() == {cuts + 2}


async def test_a_first_one_that_was_cut_off_is_finished_by_the_scheduler() -> None:
    hours = Hours()
    registration = await hours.plant()
    hours.world.crash.at = "made"
    with pytest.raises(Crash):
        await hours.renewal.begin(registration, ADDRESS)
    assert await hours.renewal.run() == 0, "it may still be under way"
    await hours.pass_hours(2)
    assert hours.provider.alive().keys() == {2}


async def test_a_store_that_fails_costs_no_webhook_that_may_be_the_stored_one() -> None:
    hours = Hours()
    await hours.opened()
    hours.world.clock.advance(6 * DAY)
    hours.registrations.lose_answers = True
    await hours.renewal.run()
    hours.registrations.lose_answers = False
    named = (await hours.stored()).settings["number"]
    assert named in hours.provider.alive()

    hours.registrations.refuse = True
    hours.world.clock.advance(6 * DAY)
    await hours.renewal.run()
    hours.registrations.refuse = False
    assert named in hours.provider.alive()
    await hours.pass_hours(3)
    assert hours.provider.alive().keys() == {(await hours.stored()).settings["number"]}


async def test_two_runs_at_once_leave_the_one_that_is_stored() -> None:
    hours = Hours()
    await hours.opened()
    hours.world.clock.advance(6 * DAY)
    await asyncio.gather(hours.renewal.run(), hours.renewal.run())
    assert hours.provider.made == 3
    assert (await hours.stored()).settings["number"] in hours.provider.alive()
    await hours.pass_hours(2)
    assert hours.provider.alive().keys() == {(await hours.stored()).settings["number"]}


async def test_an_answer_that_comes_after_another_run_does_not_take_its_place() -> None:
    hours = Hours()
    await hours.opened()
    hours.world.clock.advance(6 * DAY)
    hours.provider.slow = {2: asyncio.Event()}
    late = asyncio.create_task(hours.renewal.run())
    await hours.provider.waited_for.wait()
    await hours.renewal.run()
    assert (await hours.stored()).settings["number"] == 3
    hours.provider.slow[2].set()
    await late
    assert (await hours.stored()).settings["number"] == 3
    await hours.pass_hours(2)
    assert hours.provider.alive().keys() == {3}


async def test_one_that_fails_holds_up_no_other_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    hours = Hours()
    for name in ("reg-1", "reg-2", "reg-3"):
        await hours.opened(name)
    await hours.world.connections.replace(
        (await hours.world.connections.get(TENANT, "conn-reg-3")).model_copy(
            update={"status": ConnectionStatus.PAUSED}
        )
    )
    hours.world.clock.advance(6 * DAY)
    hours.provider.down_for = {"reg-1"}
    assert await hours.renewal.run() == 1
    assert hours.provider.alive("reg-2").keys() == {1, 2}
    failed = {each: (await hours.stored(each)).renewal for each in ("reg-1", "reg-3")}
    assert {name: each and each.failure for name, each in failed.items()} == {
        "reg-1": "ProviderUnavailable",
        "reg-3": "ConnectionPaused",
    }
    alerts = [r.levelno for r in caplog.records if r.__dict__.get("alert") == "webhook_renewal"]
    assert alerts == [logging.WARNING, logging.WARNING]

    # Past its end it is an error, and it comes back by itself.
    hours.world.clock.advance(2 * DAY)
    await hours.renewal.run()
    assert hours.provider.alive() == {}
    assert logging.ERROR in [r.levelno for r in caplog.records]
    hours.provider.down_for = set()
    hours.world.clock.advance(HOUR)
    await hours.renewal.run()
    assert hours.provider.alive().keys() == {2}
    renewal = (await hours.stored()).renewal
    assert renewal is not None
    assert renewal.failure is None


async def test_a_run_has_an_end_and_the_rest_is_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = Hours()
    for number in range(5):
        await hours.opened(f"reg-{number}")
    hours.world.clock.advance(6 * DAY)
    monkeypatch.setattr("castiel.services.webhooks.renewal.MOST", 2)
    hours.provider.down_for = {"reg-0"}
    made = [await hours.renewal.run() for _ in range(3)]
    # The one that fails goes behind the others.
    assert made == [1, 2, 1]


async def test_a_slow_provider_costs_a_run_minutes_not_hours() -> None:
    hours = Hours()
    for number in range(AT_ONCE + 3):
        await hours.opened(f"reg-{number}")
    hours.world.clock.advance(6 * DAY)
    hours.provider.seconds = BUDGET_SECONDS
    assert [await hours.renewal.run() for _ in range(2)] == [AT_ONCE, 3]


async def test_one_that_is_deleted_meanwhile_leaves_nothing_at_the_provider() -> None:
    hours = Hours()
    stale = await hours.opened()
    await hours.provider.delete(None, stale)  # type: ignore[arg-type]
    await hours.registrations.delete(stale)
    with pytest.raises(NotFound):
        await hours.renewal.take_newest_secret(
            stale.model_copy(
                update={"renewal": stale.renewal and stale.renewal.model_copy(update={"secret_version": "-"})}
            )
        )
    assert hours.provider.alive() == {}


async def test_a_rotated_secret_is_a_new_webhook_and_the_old_one_goes_after_it() -> None:
    hours = Hours()
    await hours.opened()
    [old] = hours.provider.alive().values()
    world = hours.world
    rotation = SecretRotation(
        world.credentials,
        hours.registrations,
        world.connections,
        MemoryWebhookAudit(),
        world.vault,
        world.providers,
        hours.integrations,
        world.clock,
        hours.renewal,
        hours.service.refreshing,
    )
    await rotation.rotate(TENANT, "hook-reg-1")
    assert list(hours.provider.alive().values()) == [old]
    await rotation.run()
    await rotation.run()
    credential = await world.credentials.get(TENANT, "hook-reg-1")
    assert credential.overlap is not None
    assert credential.overlap.confirmed
    new = await hours.service.read_secret(credential.secret_name)
    assert hours.provider.alive() == {1: old, 2: new}
    # A run that was cut off before it noted that asks again.
    assert await hours.renewal.take_newest_secret(await hours.stored())
    assert hours.provider.made == 2
    await hours.pass_hours(1)
    assert hours.provider.alive() == {2: new}


async def test_health_says_when_one_has_ended_or_is_about_to() -> None:
    hours = Hours()
    registration = await hours.opened()
    now = world_now = hours.world.clock.now()

    def verdict(days: float) -> tuple[Health, list[str]]:
        found = assess(registration, [], world_now + timedelta(days=days))
        return found.health, [each for each in found.recommendations if "The provider" in each]

    assert registration.renewal is not None
    assert registration.renewal.ends_at == now + timedelta(days=7)
    assert verdict(0.5) == (Health.HEALTHY, [])
    assert verdict(6.01)[1] == []
    registration.renewal.failure = "ConnectionPaused"
    health, [said] = verdict(6.5)
    assert (health, "ends at" in said, "ConnectionPaused" in said) == (Health.DEGRADED, True, True)
    health, [said] = verdict(7)
    assert (health, "ended at" in said) == (Health.FAILED, True)
    registration.renewal.made = 0
    health, [said] = verdict(0)
    assert (health, "no webhook yet" in said) == (Health.FAILED, True)
