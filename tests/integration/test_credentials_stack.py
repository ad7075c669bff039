"""Credentials over the local stack: genuine SDKs, a real Redis, and the sandboxed Salesforce org."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from castiel.bootstrap import Services, build
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import Credential, CredentialType, OAuthClient, TokenSecret
from castiel.errors import ConnectionPaused, InvalidInput, NotFound, ReauthRequired
from castiel.services.credentials.loopback import LoopbackListener
from castiel.services.credentials.management import NewCredential
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.app import InProcess, running_services, settings_for
from tests.support.fakes.documents import MemoryCredentials
from tests.support.github import INSTALLATION
from tests.support.keys import rsa_pair

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CREDENTIAL = SALESFORCE.credential_id
USERNAME = "integration@castiel.example.com"
SERVICE_ACCOUNT = "castiel@project.iam.gserviceaccount.example.com"
SCOPES = "https://www.googleapis.com/auth/contacts https://www.googleapis.com/auth/calendar.events"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def org(app: InProcess) -> AsyncIterator[SandboxControl]:
    """A fresh org with the sample connection newly authorised."""
    async with app.control() as control:
        await control.reset()
        services = app.services
        with contextlib.suppress(NotFound):
            await services.stores.credentials.delete(
                await services.stores.credentials.get(TENANT, CREDENTIAL)
            )
        with contextlib.suppress(NotFound):
            connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
            await services.stores.connections.delete(connection)
        await plant(services, control)
        services.credentials.reader.forget((TENANT, CREDENTIAL))
        await control.clear_calls()
        yield control


async def token_calls(org: SandboxControl) -> list[dict[str, Any]]:
    return await org.calls(path="oauth2/token")


async def set_expiry(services: Services, within: timedelta) -> None:
    """The stored token ends soon."""
    secret_name = (await services.stores.credentials.get(TENANT, CREDENTIAL)).secret_name
    token = TokenSecret.model_validate_json((await services.vault.get(secret_name)).value)
    ending = token.model_copy(update={"expiry_time": datetime.now(UTC) + within})
    secret = await services.vault.set(secret_name, ending.to_json_text())
    credential = await services.stores.credentials.get(TENANT, CREDENTIAL)
    credential.expiry_time, credential.secret_version = ending.expiry_time, secret.version
    await services.stores.credentials.replace(credential)
    services.credentials.reader.forget((TENANT, CREDENTIAL))


async def stored_token(services: Services) -> TokenSecret:
    credential = await services.stores.credentials.get(TENANT, CREDENTIAL)
    return TokenSecret.model_validate_json((await services.vault.get(credential.secret_name)).value)


@contextlib.asynccontextmanager
async def second_process(app: InProcess, **settings: str) -> AsyncIterator[Services]:
    """Another worker: it shares nothing with the first but the stack."""
    services = build(settings_for(app.stack, settings))
    try:
        yield services
    finally:
        await services.aclose()


@pytest.mark.parametrize("rotating", [False, True])
async def test_two_hundred_callers_in_two_processes_make_exactly_one_call(
    app: InProcess, org: SandboxControl, rotating: bool
) -> None:
    await org.policy(rotate_refresh_tokens=rotating)
    await set_expiry(app.services, timedelta(seconds=-10))
    async with second_process(app) as other:
        services = [app.services.credentials, other.credentials]
        found = await asyncio.gather(
            *(services[number % 2].get_credential(TENANT, CREDENTIAL) for number in range(200))
        )
    assert len(await token_calls(org)) == 1
    assert {stored.token.access_token for stored in found} == {
        (await stored_token(app.services)).access_token
    }
    credential = await app.services.stores.credentials.get(TENANT, CREDENTIAL)
    assert credential.refresh_count == 1


async def test_a_worker_that_meets_401_with_an_old_token_takes_the_newer_one(
    app: InProcess, org: SandboxControl
) -> None:
    connection = await app.services.stores.connections.get(TENANT, SALESFORCE.connection_id)
    await app.services.credentials.get_credential(TENANT, CREDENTIAL)
    await org.expire_access_tokens()
    async with second_process(app) as other:
        await other.integrations.adapter(connection).check()
    assert len(await token_calls(org)) == 1
    await app.services.integrations.adapter(connection).check()
    assert len(await token_calls(org)) == 1


async def test_a_rotated_pair_survives_a_throttled_vault(app: InProcess, org: SandboxControl) -> None:
    await org.policy(rotate_refresh_tokens=True)
    settings = app.services.settings
    async with httpx.AsyncClient(verify=_trust(settings.key_vault_ca_file), trust_env=False) as control:
        # More than the SDK's own three tries.
        await control.post(
            f"{settings.key_vault_url}_faults",
            json={"status": 429, "count": 4, "method": "PUT", "retryAfter": 0.2},
        )
    before = await stored_token(app.services)
    stored = await app.services.credentials.refresh_oauth_token(TENANT, CREDENTIAL, refused=before)
    after = await stored_token(app.services)
    assert after.access_token == stored.token.access_token
    assert after.refresh_token != before.refresh_token
    assert after.previous_refresh_token == before.refresh_token
    await app.services.credentials.refresh_oauth_token(TENANT, CREDENTIAL, refused=after)
    assert len(await token_calls(org)) == 2


async def test_with_redis_away_tokens_are_refreshed_all_the_same(app: InProcess, org: SandboxControl) -> None:
    await set_expiry(app.services, timedelta(seconds=-10))
    await asyncio.to_thread(app.stack.kill, "redis")
    try:
        await app.services.credentials.get_credential(TENANT, CREDENTIAL)
    finally:
        await asyncio.to_thread(app.stack.start, "redis")
    assert len(await token_calls(org)) == 1


async def test_the_timer_refreshes_what_is_due_and_writes_its_audit(
    app: InProcess, org: SandboxControl
) -> None:
    audit = await app.services.token_refresher.run()
    assert (audit.total_attempted, audit.successful) == (1, 1)
    stored = [a async for a in app.services.stores.refresh_audit.recent(1)]
    assert [a.id for a in stored] == [audit.id]
    [result] = stored[0].results
    assert (result.credential_id, result.tenant_id, result.integration_id, result.success) == (
        CREDENTIAL,
        TENANT,
        "salesforce",
        True,
    )


async def test_the_fake_store_and_the_real_one_find_the_same_credentials(app: InProcess) -> None:
    """What unit tests of TokenRefresher lean on."""
    now = datetime(2025, 12, 10, 13, 0, tzinfo=UTC)
    hour = timedelta(hours=1)
    documents: list[dict[str, Any]] = [
        {"expiry_time": now},
        {"expiry_time": now + hour},
        {"expiry_time": now - hour, "enabled": False},
        {"expiry_time": now, "type": "apiKey", "warn_at": now},
        {"refreshable": False},
        {"refreshable": True, "last_refreshed_at": now - hour},
        {"refreshable": True, "last_refreshed_at": now + hour},
        {"type": "webhookSecret", "warn_at": now + hour},
        {"type": "apiKey", "warn_at": now - hour, "enabled": False},
        {},
    ]
    found: list[dict[str, set[str]]] = []
    for store in (MemoryCredentials(), app.services.stores.credentials):
        for number, fields in enumerate(documents):
            base = {"id": f"find-{number}", "tenant_id": "find", "integration_id": "x", "secret_name": "x"}
            await store.create(Credential.model_validate({**base, **fields}))
        found.append(
            {
                "expiring": {c.id async for c in store.expiring(now) if c.tenant_id == "find"},
                "unexpiring": {c.id async for c in store.unexpiring(now) if c.tenant_id == "find"},
                "to_rotate": {c.id async for c in store.to_rotate(now) if c.tenant_id == "find"},
                "of_tenant": {c.id async for c in store.of_tenant("find")},
            }
        )
        async for credential in store.of_tenant("find"):
            await store.delete(credential)
    assert found[0] == found[1]
    assert found[0]["expiring"] == {"find-0"}
    assert found[0]["unexpiring"] == {"find-5", "find-9"}
    assert found[0]["to_rotate"] == {"find-3"}


async def test_what_is_left_comes_back_through_the_inbound_queue(app: InProcess, org: SandboxControl) -> None:
    """With no time at all nothing is done; the continuation does it."""
    async with second_process(app, SYNC_TIME_BUDGET_SECONDS="0.001") as hurried:
        first = await hurried.token_refresher.run()
    assert (first.total_attempted, first.left) == (0, 1)
    [message] = await app.take("sync-inbound", wait=15)
    await app.services.inbound_messages.handle(message)
    assert len(await token_calls(org)) == 1


async def test_a_dead_grant_pauses_is_told_and_comes_back_by_consent(
    app: InProcess, org: SandboxControl
) -> None:
    services = app.services
    await org.revoke()
    audit = await services.token_refresher.run()
    assert [(r.success, r.needs_reauth) for r in audit.results] == [(False, True)]
    connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
    assert connection.status is ConnectionStatus.NEEDS_REAUTH
    with pytest.raises(ConnectionPaused):
        services.integrations.adapter(connection)
    with pytest.raises(ReauthRequired):
        await services.credentials.get_credential(TENANT, CREDENTIAL)
    assert CREDENTIAL in await _events(services, "castiel.credential.reauth_required")

    async with LoopbackListener() as listener, httpx.AsyncClient(trust_env=False) as browser:
        begun = await services.authorization.begin(connection, listener.redirect_uri)
        waiting = asyncio.create_task(listener.wait(begun.state, seconds=20))
        await browser.get(begun.url, follow_redirects=True)
        callback = await waiting
    resumed = await services.authorization.complete(callback.code, callback.state, begun.verifier)

    assert resumed.status is ConnectionStatus.ACTIVE
    await services.integrations.adapter(resumed).check()
    assert (await services.token_refresher.run()).failed == 0


async def test_a_revoked_credential_is_withdrawn_at_the_provider(app: InProcess, org: SandboxControl) -> None:
    refresh_token = (await stored_token(app.services)).refresh_token
    assert refresh_token is not None
    await app.services.credentials.manage.revoke(TENANT, CREDENTIAL)
    assert len(await org.calls(path="oauth2/revoke", status=200)) == 1
    assert await org.revoke(refresh_token.get_secret_value()) == 0


@dataclass(frozen=True)
class Signing:
    """A way to tokens that are signed for: what the provider is told of the key, and what the credential says."""

    provider: str
    policy: Callable[[str], dict[str, Any]]
    settings: dict[str, Any]
    connection: dict[str, Any] = field(default_factory=dict)
    app: str | None = None
    """The client id of the app, where there has to be one."""


SIGNINGS = (
    Signing(
        "salesforce",
        lambda public: {"clients": {"jwt-app": {"secret": None, "publicKey": public}}},
        {"refreshMethod": "jwtBearer", "username": USERNAME},
        app="jwt-app",
    ),
    Signing(
        "google",
        lambda public: {"serviceAccounts": {SERVICE_ACCOUNT: {"publicKey": public, "delegated": SCOPES}}},
        {
            "refreshMethod": "serviceAccount",
            "clientEmail": SERVICE_ACCOUNT,
            "subject": USERNAME,
            "scopes": SCOPES,
        },
    ),
    Signing(
        "github",
        lambda public: {"clients": {"castiel-app": {"secret": "", "publicKey": public}}},
        {"refreshMethod": "appInstallation"},
        {"installationId": INSTALLATION, "repositories": ["octo-org/engine"]},
        app="castiel-app",
    ),
)


@pytest.mark.parametrize("signing", SIGNINGS, ids=lambda s: s.settings["refreshMethod"])
async def test_a_signature_stands_in_for_a_persons_consent(app: InProcess, signing: Signing) -> None:
    """The key is a credential of its own; the first token comes with the first use."""
    services, name = app.services, f"signing-{signing.provider}"
    private, public = rsa_pair()
    new = services.credentials.manage.store
    await new(
        NewCredential(
            f"key-{name}", TENANT, signing.provider, CredentialType.CLIENT_PRIVATE_KEY, SecretStr(private)
        )
    )
    await new(
        NewCredential(
            name,
            TENANT,
            signing.provider,
            CredentialType.OAUTH2,
            connection_id=f"conn-{name}",
            companion_ids=(f"key-{name}",),
            settings=signing.settings,
        )
    )
    if signing.app is not None:
        await services.vault.set(f"oauth-client-{name}", OAuthClient(client_id=signing.app).to_json_text())
        stored = await services.stores.credentials.get(TENANT, name)
        stored.client_secret_name = f"oauth-client-{name}"
        await services.stores.credentials.replace(stored)
    async with app.control(signing.provider) as control:
        await control.policy(**signing.policy(public))
        connection = await services.stores.connections.create(
            Connection(
                id=f"conn-{name}",
                tenant_id=TENANT,
                integration_id=signing.provider,
                credential_id=name,
                settings={"baseUrl": control.url, **signing.connection},
            )
        )
    await services.integrations.adapter(connection).check()
    await services.credentials.refresh_oauth_token(TENANT, name)
    credential: Credential = await services.stores.credentials.get(TENANT, name)
    assert (credential.refresh_count, credential.refreshable) == (2, True)
    due = [c.id async for c in services.stores.credentials.expiring(datetime.now(UTC) + timedelta(days=1))]
    assert name in due


async def test_a_method_nobody_knows_is_refused_when_it_is_stored(app: InProcess) -> None:
    new = NewCredential(
        "cred-odd", TENANT, "google", CredentialType.OAUTH2, settings={"refreshMethod": "carrierPigeon"}
    )
    with pytest.raises(InvalidInput, match=r"settings\.refreshMethod"):
        await app.services.credentials.manage.store(new)


async def _events(services: Services, kind: str) -> list[str]:
    url = (services.settings.event_grid_topic_endpoint or "").replace("/api/events", "/_events")
    async with httpx.AsyncClient(trust_env=False) as client:
        events = (await client.get(url)).json()
    found = events["events"] if isinstance(events, dict) else events
    return [event["data"]["credentialId"] for event in found if event["type"] == kind]


def _trust(certificate: str | None) -> Any:

    return ssl.create_default_context(cafile=str(Path(certificate or "")))
