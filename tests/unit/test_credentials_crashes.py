"""A worker dies at every step of a refresh, at every kind of provider; the next worker goes on."""

from __future__ import annotations

from itertools import product

import pytest

from castiel.domain.connections import ConnectionStatus
from castiel.errors import ConfigurationError, ReauthRequired, VaultUnavailable
from tests.support.credentials import CREDENTIAL, TENANT, World
from tests.support.fakes.authorization_server import Semantics
from tests.support.fakes.crash import Crash

POINTS = ["after-journal", "before-call", "after-answer", "after-vault", "after-cosmos"]
LOST = (Semantics.ROTATES_AT_ONCE, "after-answer")
"""The only place where nobody can help: the provider has withdrawn the old token and the new one was in the dead
process alone (GitHub, Slack, Notion; Salesforce where the app rotates)."""


async def planted(semantics: Semantics) -> World:
    world = World(semantics)
    await world.plant()
    world.let_expire()
    return world


async def crashed(semantics: Semantics, point: str) -> World:
    world = await planted(semantics)
    await crash(world, point)
    return world


async def crash(world: World, point: str) -> None:
    world.crash.at = point
    with pytest.raises(Crash):
        await world.process().get_credential(TENANT, CREDENTIAL)


@pytest.mark.parametrize(
    ("semantics", "point"), [each for each in product(Semantics, POINTS) if each != LOST]
)
async def test_the_next_worker_has_a_token_that_works_wherever_the_last_one_died(
    semantics: Semantics, point: str
) -> None:
    world = await planted(semantics)
    found = await world.credentials.get(TENANT, CREDENTIAL)
    await crash(world, point)

    service = world.process()
    stored = await service.get_credential(TENANT, CREDENTIAL)
    # TokenRefresher found the credential due before all that, and puts right what a crash left behind.
    await service.refresh_due(found)

    assert world.server.calls <= 2
    assert stored.token.expiry_time is not None
    assert stored.token.expiry_time > world.clock.now()
    assert stored.token.refresh_token is not None
    assert stored.token.refresh_token.get_secret_value() in world.server.live
    assert (await world.connections.get(TENANT, f"conn-{CREDENTIAL}")).usable
    credential = await world.credentials.get(TENANT, CREDENTIAL)
    assert not credential.needs_reauth
    assert credential.expiry_time == (await world.stored()).expiry_time
    assert credential.last_attempt is not None
    assert credential.last_attempt.outcome == "stored"
    world.clock.advance(3600)
    again = await world.process().get_credential(TENANT, CREDENTIAL)
    assert again.token.access_token != stored.token.access_token


@pytest.mark.parametrize("point", ["after-vault", "after-cosmos"])
async def test_what_reached_the_vault_is_used_without_asking_the_provider_again(point: str) -> None:
    world = await crashed(Semantics.ROTATES_AT_ONCE, point)
    await world.process().get_credential(TENANT, CREDENTIAL)
    assert world.server.calls == 1


async def test_an_answer_that_died_with_its_process_is_journalled_and_ends_in_a_new_consent() -> None:
    world = await crashed(*LOST)

    with pytest.raises(ReauthRequired):
        await world.process().get_credential(TENANT, CREDENTIAL)

    credential = await world.credentials.get(TENANT, CREDENTIAL)
    assert credential.needs_reauth
    assert credential.last_attempt is not None
    assert credential.last_attempt.outcome == "interrupted"
    connection = await world.connections.get(TENANT, f"conn-{CREDENTIAL}")
    assert connection.status is ConnectionStatus.NEEDS_REAUTH


@pytest.mark.parametrize("semantics", list(Semantics))
async def test_the_refresh_token_before_the_newest_stays_until_the_newest_was_used(
    semantics: Semantics,
) -> None:
    world = World(semantics)
    await world.plant()
    first = (await world.stored()).refresh_token
    service = world.process()
    await service.refresh_oauth_token(TENANT, CREDENTIAL)
    after_one = await world.stored()
    await service.refresh_oauth_token(TENANT, CREDENTIAL)
    after_two = await world.stored()

    if semantics is Semantics.KEEPS:
        assert after_one.previous_refresh_token is None
    else:
        assert after_one.previous_refresh_token == first
        assert after_two.previous_refresh_token == after_one.refresh_token


async def test_a_newest_refresh_token_that_the_provider_forgot_is_replaced_by_the_one_before() -> None:
    world = World(Semantics.ROTATES_ON_USE)
    await world.plant()
    service = world.process()
    await service.refresh_oauth_token(TENANT, CREDENTIAL)
    newest = (await world.stored()).refresh_token
    assert newest is not None
    # The provider answered, and then lost its own write.
    world.server.live.discard(newest.get_secret_value())

    stored = await service.refresh_oauth_token(TENANT, CREDENTIAL)

    assert stored.token.refresh_token is not None
    assert stored.token.refresh_token.get_secret_value() in world.server.live
    assert not (await world.credentials.get(TENANT, CREDENTIAL)).needs_reauth


async def test_a_credential_that_was_written_since_the_query_is_read_again() -> None:
    """An operator's change is neither lost nor passed over; the provider is called once."""
    world = await planted(Semantics.ROTATES_AT_ONCE)
    found = await world.credentials.get(TENANT, CREDENTIAL)
    changed = found.copy_of()
    changed.name = "the new name"
    await world.credentials.replace(changed)
    await world.process().refresh_due(found)
    assert world.server.calls == 1
    credential = await world.credentials.get(TENANT, CREDENTIAL)
    assert (credential.name, credential.refresh_count) == ("the new name", 1)


async def test_a_credential_that_was_disabled_since_the_query_is_left_alone() -> None:
    world = await planted(Semantics.ROTATES_AT_ONCE)
    found = await world.credentials.get(TENANT, CREDENTIAL)
    disabled = found.copy_of()
    disabled.enabled = False
    await world.credentials.replace(disabled)
    with pytest.raises(ConfigurationError, match="disabled"):
        await world.process().refresh_due(found)
    assert world.server.calls == 0


async def test_a_pair_held_in_memory_is_not_put_over_a_later_consent() -> None:
    world = await planted(Semantics.ROTATES_AT_ONCE)
    first = world.process()
    world.vault.refuse_sets = 1_000
    with pytest.raises(VaultUnavailable):
        await first.refresh_oauth_token(TENANT, CREDENTIAL)
    world.vault.refuse_sets = 0

    # Another process, which knows only the pair before, asks for a new consent, and a person gives it.
    with pytest.raises(ReauthRequired):
        await world.process().refresh_oauth_token(TENANT, CREDENTIAL)
    consent = world.server.grant()
    credential = await world.credentials.get(TENANT, CREDENTIAL)
    await world.process().refreshing.pairs.store(credential, consent)
    world.let_expire()

    await first.get_credential(TENANT, CREDENTIAL)

    assert consent.refresh_token is not None
    assert (await world.stored()).previous_refresh_token == consent.refresh_token
