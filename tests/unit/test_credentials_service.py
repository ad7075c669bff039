"""SecureCredentialService over fakes: one refresh for many, outages, dead grants, and what operators do."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from castiel.adapters.http import AccessToken
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credential_health import Health
from castiel.domain.credentials import CredentialType, SecretKind, TokenSecret, kinds_of
from castiel.domain.rotation import RotationState
from castiel.errors import (
    AlreadyExists,
    AuthenticationFailed,
    ConfigurationError,
    InUse,
    InvalidInput,
    LeaseHeld,
    NotFound,
    ProviderRateLimited,
    ProviderUnavailable,
    ReauthRequired,
    VaultUnavailable,
)
from castiel.services.credentials import CredentialAuthorizer
from castiel.services.credentials.authorizer import RENEWED_SECONDS
from castiel.services.credentials.management import NewCredential, secret_name_of
from castiel.services.credentials.reader import StoredToken
from castiel.services.credentials.service import RETRY_SECONDS
from tests.support.credentials import CREDENTIAL, TENANT, World
from tests.support.fakes.authorization_server import Semantics


@pytest.fixture
async def world() -> World:
    world = World(Semantics.ROTATES_AT_ONCE)
    await world.plant()
    return world


def test_the_types_stand_for_nine_kinds_of_secret() -> None:
    kinds = [kind for each in CredentialType for kind in kinds_of(each)]
    assert sorted(kinds) == sorted(SecretKind)
    assert len(kinds) == 9


# One refresh for many --------------------------------------------------------------------------------


async def test_two_hundred_callers_in_two_processes_make_one_call(world: World) -> None:
    world.let_expire()
    processes = [world.process(), world.process()]
    found = await asyncio.gather(
        *(processes[number % 2].get_credential(TENANT, CREDENTIAL) for number in range(200))
    )
    assert world.server.calls == 1
    assert len({stored.token.access_token for stored in found}) == 1


async def test_a_worker_that_was_refused_takes_the_token_that_is_newer_than_its_own(world: World) -> None:
    late, other = world.process(), world.process()
    connection = await world.connections.get(TENANT, f"conn-{CREDENTIAL}")
    authorizer = CredentialAuthorizer(late, connection)
    old = await authorizer.current()
    newer = await other.refresh_oauth_token(TENANT, CREDENTIAL)

    replaced = await authorizer.replace(old)

    assert replaced == AccessToken(newer.token.access_token)
    assert world.server.calls == 1


async def test_a_provider_that_refuses_every_token_is_not_asked_for_new_ones_again_and_again(
    world: World,
) -> None:
    connection = await world.connections.get(TENANT, f"conn-{CREDENTIAL}")
    authorizers = [CredentialAuthorizer(world.process(), connection) for _ in range(2)]
    refused = await authorizers[0].replace(await authorizers[0].current())
    for authorizer in authorizers:
        with pytest.raises(AuthenticationFailed) as raised:
            await authorizer.replace(refused)
        assert raised.value.retry_after is not None
        assert 0 < raised.value.retry_after <= RENEWED_SECONDS
    assert world.server.calls == 1
    world.clock.advance(RENEWED_SECONDS)
    assert await authorizers[0].replace(refused) != refused
    assert world.server.calls == 2


async def test_a_credential_is_shown_to_no_other_provider_than_its_own(world: World) -> None:
    connection = await world.connections.create(
        Connection(id="conn-gh", tenant_id=TENANT, integration_id="github", credential_id=CREDENTIAL)
    )
    with pytest.raises(ConfigurationError, match="conn-gh"):
        await CredentialAuthorizer(world.process(), connection).current()


async def test_a_caller_that_is_cancelled_does_not_lose_the_pair(world: World) -> None:
    world.let_expire()
    service = world.process()
    called, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        called.set()
        await go_on.wait()

    world.server.during = slowly
    caller = asyncio.create_task(service.get_credential(TENANT, CREDENTIAL))
    await called.wait()
    caller.cancel()
    go_on.set()
    world.server.during = None
    stored = await service.get_credential(TENANT, CREDENTIAL)

    assert world.server.calls == 1
    assert (await world.stored()).access_token == stored.token.access_token


async def test_a_dead_grant_is_looked_at_again_before_anybody_is_bothered(world: World) -> None:
    """Another worker won: its pair is used, and nobody is told to authorise again."""
    world.let_expire()
    winner = world.server.grant()

    async def somebody_else_was_faster() -> None:
        world.server.live = {winner.refresh_token.get_secret_value() if winner.refresh_token else ""}
        await world.vault.set(f"credential-{CREDENTIAL}", winner.to_json_text())

    world.server.during = somebody_else_was_faster
    stored = await world.process().get_credential(TENANT, CREDENTIAL)

    assert stored.token.access_token == winner.access_token
    assert not (await world.credentials.get(TENANT, CREDENTIAL)).needs_reauth
    assert world.events.published == []


async def test_without_redis_the_journal_keeps_a_second_worker_away(world: World) -> None:
    world.leases.down = True
    first, second = world.process(), world.process()
    refused: list[type[Exception]] = []

    async def meanwhile() -> None:
        with pytest.raises(LeaseHeld):
            await second.refresh_oauth_token(TENANT, CREDENTIAL)
        refused.append(LeaseHeld)

    world.server.during = meanwhile
    await first.refresh_oauth_token(TENANT, CREDENTIAL)
    assert refused == [LeaseHeld]
    assert world.server.calls == 1


# Outages ---------------------------------------------------------------------------------------------


async def test_with_the_vault_down_a_cached_token_works_until_it_expires(world: World) -> None:
    service = world.process()
    cached = await service.get_credential(TENANT, CREDENTIAL)
    world.vault.down = True
    world.clock.advance(3300)
    assert (await service.get_credential(TENANT, CREDENTIAL)).token == cached.token

    world.clock.advance(600)
    with pytest.raises(VaultUnavailable, match=r"credential cred-1: Key Vault: status 503"):
        await service.get_credential(TENANT, CREDENTIAL)


async def test_while_the_provider_is_away_a_token_is_used_to_its_end(world: World) -> None:
    service = world.process()
    before = await service.get_credential(TENANT, CREDENTIAL)
    world.clock.advance(56 * 60)
    world.server.errors = [ProviderUnavailable("no answer in time")] * 2
    assert (await service.get_credential(TENANT, CREDENTIAL)).token == before.token
    world.clock.advance(5 * 60)
    with pytest.raises(ProviderUnavailable):
        await service.get_credential(TENANT, CREDENTIAL)


async def test_a_provider_that_is_away_is_not_asked_again_with_every_use_of_a_living_token(
    world: World,
) -> None:
    service = world.process()
    world.clock.advance(56 * 60)
    world.server.errors = [ProviderUnavailable("no answer in time")] * 50
    for _ in range(20):
        await service.get_credential(TENANT, CREDENTIAL)
    assert world.server.calls == 1
    world.clock.advance(RETRY_SECONDS)
    await service.get_credential(TENANT, CREDENTIAL)
    assert world.server.calls == 2


async def test_a_token_endpoint_that_asks_to_wait_is_left_alone_for_so_long(world: World) -> None:
    service = world.process()
    world.clock.advance(56 * 60)
    world.server.errors = [ProviderRateLimited("too many", retry_after=120.0)]
    await service.get_credential(TENANT, CREDENTIAL)
    world.clock.advance(119)
    before = await service.get_credential(TENANT, CREDENTIAL)
    assert world.server.calls == 1
    world.clock.advance(1)
    assert (await service.get_credential(TENANT, CREDENTIAL)).token.access_token != before.token.access_token
    assert world.server.calls == 2


async def test_a_throttled_vault_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    world.vault.refuse_sets, world.vault.retry_after = 2, 7.0
    await world.process().refresh_oauth_token(TENANT, CREDENTIAL)
    assert world.clock.slept == [7.0, 7.0]
    assert world.server.calls == 1


async def test_a_pair_that_no_vault_takes_is_kept_and_stored_at_the_next_chance(world: World) -> None:
    service = world.process()
    world.vault.refuse_sets = 1000
    with pytest.raises(VaultUnavailable):
        await service.refresh_oauth_token(TENANT, CREDENTIAL)
    world.vault.refuse_sets = 0
    world.let_expire()

    stored = await service.get_credential(TENANT, CREDENTIAL)

    assert world.server.calls == 1
    assert (await world.stored()).access_token == stored.token.access_token


async def test_with_the_metadata_store_down_the_pair_is_safe_and_used(world: World) -> None:
    service = world.process()

    async def goes_down() -> None:
        world.credentials.down = True

    world.server.during = goes_down
    stored = await service.refresh_oauth_token(TENANT, CREDENTIAL)
    assert (await world.stored()).access_token == stored.token.access_token


# Dead grants -----------------------------------------------------------------------------------------


async def test_a_dead_grant_stops_everything_and_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.server.live.clear()
    world.let_expire()
    service = world.process()
    for _ in range(3):
        with pytest.raises(ReauthRequired):
            await service.get_credential(TENANT, CREDENTIAL)

    assert world.server.calls == 1
    credential = await world.credentials.get(TENANT, CREDENTIAL)
    assert (credential.needs_reauth, credential.reauth_reason) == (True, "invalid_grant")
    connection = await world.connections.get(TENANT, f"conn-{CREDENTIAL}")
    assert (connection.status, connection.status_reason) == (ConnectionStatus.NEEDS_REAUTH, "invalid_grant")
    [alert] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert alert.getMessage() == "Credential cred-1 requires reauth"
    assert alert.__dict__["function"] == "TokenRefresher"
    assert (alert.__dict__["credentialId"], alert.__dict__["tenantId"]) == (CREDENTIAL, TENANT)
    [event] = world.events.published
    assert event.type == "castiel.credential.reauth_required"
    assert event.data["credentialId"] == CREDENTIAL


async def test_a_connection_that_a_person_paused_stays_paused(world: World) -> None:
    connection = await world.connections.get(TENANT, f"conn-{CREDENTIAL}")
    connection.status = ConnectionStatus.PAUSED
    await world.connections.replace(connection)
    world.server.live.clear()
    service = world.process()
    with pytest.raises(ReauthRequired):
        await service.refresh_oauth_token(TENANT, CREDENTIAL)
    await service.refreshing.reauthorisation.resume(await world.credentials.get(TENANT, CREDENTIAL))
    assert (await world.connections.get(TENANT, connection.id)).status is ConnectionStatus.PAUSED


# What operators do -----------------------------------------------------------------------------------


def api_key(**fields: object) -> NewCredential:
    values: dict[str, object] = {"secret": SecretStr("made-up-api-key-one"), **fields}
    return NewCredential("key-1", TENANT, "notion", CredentialType.API_KEY, **values)  # type: ignore[arg-type]


async def test_a_stored_secret_is_read_by_its_tenant_alone(world: World) -> None:
    manage = world.process().manage
    await manage.store(api_key())
    assert (await manage.get_secret(TENANT, "key-1")).get_secret_value() == "made-up-api-key-one"
    with pytest.raises(NotFound):
        await manage.get_secret("tenant-2", "key-1")
    assert secret_name_of(TENANT, "key-1") != secret_name_of("tenant-2", "key-1")
    with pytest.raises(AlreadyExists):
        await manage.store(api_key(secret=SecretStr("another-made-up-key")))
    assert (await manage.get_secret(TENANT, "key-1")).get_secret_value() == "made-up-api-key-one"


async def test_lists_show_metadata_only(world: World) -> None:
    manage = world.process().manage
    await manage.store(api_key())
    listed = await manage.list(TENANT)
    assert {c.id for c in listed} == {CREDENTIAL, "key-1"}
    shown = repr(listed) + "".join(c.to_json_text() for c in listed)
    assert "made-up-api-key" not in shown
    assert "made-up-access-token" not in shown


async def test_a_rotated_secret_replaces_the_old_one_and_its_clock_starts_anew(world: World) -> None:
    manage = world.process().manage
    first = await manage.store(api_key())
    world.clock.advance(timedelta(days=80).total_seconds())
    assert (await manage.health(TENANT, "key-1")).status is Health.DEGRADED

    rotated = await manage.rotate(TENANT, "key-1", SecretStr("made-up-api-key-two"))

    assert (await manage.get_secret(TENANT, "key-1")).get_secret_value() == "made-up-api-key-two"
    assert await world.vault.versions(rotated.secret_name) == [rotated.secret_version]
    assert (await manage.health(TENANT, "key-1")).status is Health.HEALTHY
    assert rotated.warn_at is not None
    assert rotated.warn_at - world.clock.now() == timedelta(days=76)
    assert first.warn_at is not None


async def refresh_under_way(world: World) -> tuple[asyncio.Task[StoredToken], asyncio.Event]:
    """A refresh in another process, whose new pair is on its way to the vault until the event is set."""
    world.let_expire()
    written, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        written.set()
        await go_on.wait()

    world.vault.during_set = slowly
    refresh = asyncio.create_task(world.process().get_credential(TENANT, CREDENTIAL))
    await written.wait()
    world.vault.during_set = None
    return refresh, go_on


async def test_a_refresh_under_way_brings_nothing_of_a_revoked_credential_back(world: World) -> None:
    refresh, go_on = await refresh_under_way(world)
    revocation = asyncio.create_task(world.process().manage.revoke(TENANT, CREDENTIAL))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not (await world.credentials.get(TENANT, CREDENTIAL)).enabled, "at once, for all who read it now"
    go_on.set()
    with pytest.raises(ConfigurationError, match="disabled"):
        await refresh
    await revocation
    assert await world.vault.versions(f"credential-{CREDENTIAL}") == []
    assert world.server.live == set(), "the pair that came last is withdrawn at the provider"


async def test_a_refresh_under_way_brings_no_deleted_secret_back(world: World) -> None:
    await world.connections.delete(await world.connections.get(TENANT, f"conn-{CREDENTIAL}"))
    refresh, go_on = await refresh_under_way(world)
    deletion = asyncio.create_task(world.process().manage.delete(TENANT, CREDENTIAL))
    for _ in range(50):
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(refresh, deletion)
    with pytest.raises(NotFound):
        await world.vault.get(f"credential-{CREDENTIAL}")


async def test_a_revoked_credential_serves_nobody(world: World) -> None:
    service = world.process()
    await service.manage.revoke(TENANT, CREDENTIAL)
    with pytest.raises(ConfigurationError, match="disabled"):
        await service.get_credential(TENANT, CREDENTIAL)
    assert await world.vault.versions(f"credential-{CREDENTIAL}") == []
    assert (await world.connections.get(TENANT, f"conn-{CREDENTIAL}")).status is ConnectionStatus.PAUSED
    assert (await service.manage.health(TENANT, CREDENTIAL)).status is Health.FAILED


async def test_a_credential_that_can_have_no_document_leaves_no_secret(world: World) -> None:
    with pytest.raises(InvalidInput, match="'a/b' can't be one"):
        await world.process().manage.store(replace(api_key(), id="a/b"))
    with pytest.raises(NotFound):
        await world.vault.get(secret_name_of(TENANT, "a/b"))


async def test_a_credential_in_use_is_not_deleted(world: World) -> None:
    manage = world.process().manage
    with pytest.raises(InUse, match=f"conn-{CREDENTIAL}"):
        await manage.delete(TENANT, CREDENTIAL)
    assert not InUse.retryable  # what a program is told: the same again helps nothing
    await world.connections.delete(await world.connections.get(TENANT, f"conn-{CREDENTIAL}"))
    await manage.delete(TENANT, CREDENTIAL)
    with pytest.raises(NotFound):
        await world.vault.get(f"credential-{CREDENTIAL}")


async def test_a_companion_is_not_deleted_before_the_credential_that_names_it(world: World) -> None:
    manage = world.process().manage
    await manage.store(api_key())
    await manage.store(replace(api_key(), id="bystander"))
    for name in ("pair-b", "pair-a"):
        await manage.store(replace(api_key(), id=name, companion_ids=("key-1",)))
    with pytest.raises(InUse, match=r"key-1 is used by credential pair-a, .*credential pair-b, "):
        await manage.delete(TENANT, "key-1")
    assert (await manage.get_secret(TENANT, "key-1")).get_secret_value()
    await manage.delete(TENANT, "bystander")
    for name in ("pair-a", "pair-b", "key-1"):
        await manage.delete(TENANT, name)
    with pytest.raises(NotFound):
        await manage.get(TENANT, "key-1")


async def test_statistics_count_what_needs_somebody(world: World) -> None:
    service = world.process()
    await service.manage.store(api_key())
    world.server.live.clear()
    with pytest.raises(ReauthRequired):
        await service.refresh_oauth_token(TENANT, CREDENTIAL)
    world.clock.advance(timedelta(days=91).total_seconds())
    counts = await service.manage.statistics(TENANT)
    assert (counts.total, counts.needs_reauth, counts.rotation_due) == (2, 1, 1)
    assert counts.by_type == {"oauth2": 1, "apiKey": 1}
    assert counts.by_health == {"failed": 1, "degraded": 1}


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (CredentialType.OAUTH2, SecretStr("no pair at all")),
        (CredentialType.API_KEY, SecretStr("")),
        (CredentialType.API_KEY, TokenSecret(access_token=SecretStr("a-pair-it-is"))),
        (CredentialType.CLIENT_CERTIFICATE, SecretStr("no certificate")),
        (CredentialType.CLIENT_PRIVATE_KEY, SecretStr("no key")),
    ],
)
async def test_a_secret_of_the_wrong_form_is_not_stored(
    world: World, kind: CredentialType, secret: SecretStr | TokenSecret
) -> None:
    with pytest.raises(InvalidInput):
        await world.process().manage.store(NewCredential("bad", TENANT, "notion", kind, secret))
    with pytest.raises(NotFound):
        await world.credentials.get(TENANT, "bad")


async def test_an_api_key_that_is_refused_waits_for_a_person_and_works_again_after_its_rotation(
    world: World,
) -> None:
    service = world.process()
    await service.manage.store(api_key())
    connection = await world.connections.create(
        Connection(id="conn-key", tenant_id=TENANT, integration_id="notion", credential_id="key-1")
    )
    authorizer = CredentialAuthorizer(service, connection)
    with pytest.raises(ReauthRequired):
        await authorizer.replace(await authorizer.current())
    assert (await world.connections.get(TENANT, "conn-key")).status is ConnectionStatus.NEEDS_REAUTH
    assert world.server.calls == 0

    await service.manage.rotate(TENANT, "key-1", SecretStr("made-up-api-key-two"))

    assert (await world.connections.get(TENANT, "conn-key")).usable
    assert (await authorizer.current()).value.get_secret_value() == "made-up-api-key-two"


def test_rotation_states_are_ordered_by_urgency() -> None:
    assert [state.value for state in RotationState] == ["ok", "warn", "due", "expired"]
