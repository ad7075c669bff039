"""A person's consent: state and PKCE, once, for whoever began; and the browser's way back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import CredentialType, OAuthClient
from castiel.errors import ConfigurationError, InvalidInput, ReauthRequired
from castiel.services.credentials.authorisation import PENDING_SECONDS, AuthorizationService
from castiel.services.credentials.loopback import LoopbackListener, parse_pasted
from castiel.services.credentials.management import NewCredential
from tests.support.credentials import CREDENTIAL, TENANT, World
from tests.support.fakes.coordination import MemoryMarks

REDIRECT = "http://127.0.0.1:1/callback"


@pytest.fixture
async def world() -> World:
    world = World()
    await world.plant()
    return world


@pytest.fixture
def marks(world: World) -> MemoryMarks:
    return MemoryMarks(world.clock)


@pytest.fixture
def service(world: World, marks: MemoryMarks) -> AuthorizationService:
    refreshing = world.process().refreshing
    return AuthorizationService(
        world.connections,
        world.credentials,
        refreshing,
        marks,
        world.providers,
        world.http,
        world.clock,
    )


async def test_a_consent_never_takes_the_place_of_an_api_key(
    world: World, service: AuthorizationService
) -> None:
    manage = world.process().manage
    await manage.store(
        NewCredential("key-1", TENANT, "salesforce", CredentialType.API_KEY, SecretStr("made-up-api-key"))
    )
    connection = await world.connections.create(
        Connection(id="conn-key", tenant_id=TENANT, integration_id="salesforce", credential_id="key-1")
    )
    with pytest.raises(InvalidInput, match="key-1"):
        await service.begin(connection, REDIRECT)
    assert (await manage.get_secret(TENANT, "key-1")).get_secret_value() == "made-up-api-key"


async def connection_of(world: World) -> Connection:
    return await world.connections.get(TENANT, f"conn-{CREDENTIAL}")


async def test_a_consent_brings_a_dead_connection_back(world: World, service: AuthorizationService) -> None:
    world.server.live.clear()
    with pytest.raises(ReauthRequired):
        await world.process().refresh_oauth_token(TENANT, CREDENTIAL)
    assert (await connection_of(world)).status is ConnectionStatus.NEEDS_REAUTH

    begun = await service.begin(await connection_of(world), REDIRECT)
    connection = await service.complete("made-up-code", begun.state, begun.verifier)

    assert connection.status is ConnectionStatus.ACTIVE
    stored = await world.process().get_credential(TENANT, CREDENTIAL)
    assert stored.token.refresh_token is not None
    assert stored.token.refresh_token.get_secret_value() in world.server.live


async def test_a_connection_that_was_never_authorised_gets_its_credential(
    world: World, service: AuthorizationService
) -> None:
    connection = await world.connections.create(
        Connection(id="conn-new", tenant_id=TENANT, integration_id="salesforce", credential_id="cred-new")
    )
    begun = await service.begin(connection, REDIRECT)
    await service.complete("made-up-code", begun.state, begun.verifier)
    assert (await world.process().get_credential(TENANT, "cred-new")).token.refresh_token is not None


async def test_a_consent_is_not_put_over_a_credential_of_another_provider(
    world: World, service: AuthorizationService
) -> None:
    await world.plant("cred-gh", integration_id="github")
    await world.vault.set("oauth-client-github", OAuthClient(client_id="made-up-app").to_json_text())
    connection = await world.connections.get(TENANT, "conn-cred-gh")
    with pytest.raises(ConfigurationError, match="conn-cred-gh, credentialId"):
        await service.begin(connection, REDIRECT)


async def test_the_challenge_is_the_verifiers_and_redis_holds_neither_state_nor_verifier(
    world: World, service: AuthorizationService, marks: MemoryMarks
) -> None:
    begun = await service.begin(await connection_of(world), REDIRECT)
    query = parse_qs(urlsplit(begun.url).query)
    digest = hashlib.sha256(begun.verifier.get_secret_value().encode()).digest()
    assert query["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()]
    assert query["state"] == [begun.state]
    held = repr(marks.values)
    assert begun.state not in held
    assert begun.verifier.get_secret_value() not in held


async def test_a_state_serves_once_for_a_quarter_of_an_hour_and_for_who_began(
    world: World, service: AuthorizationService
) -> None:
    connection = await connection_of(world)
    begun = await service.begin(connection, REDIRECT)
    with pytest.raises(InvalidInput, match="unknown"):
        await service.complete("code", "another-state", begun.verifier)
    with pytest.raises(InvalidInput, match="somebody else"):
        await service.complete("code", begun.state, SecretStr("another-verifier"))
    with pytest.raises(InvalidInput, match="used"):
        await service.complete("code", begun.state, begun.verifier)

    late = await service.begin(connection, REDIRECT)
    world.clock.advance(PENDING_SECONDS + 1)
    with pytest.raises(InvalidInput, match="expired"):
        await service.complete("code", late.state, late.verifier)


async def test_the_listener_takes_the_code_of_its_state_only() -> None:
    async with LoopbackListener() as listener, httpx.AsyncClient(trust_env=False) as browser:
        waiting = asyncio.create_task(listener.wait("the-state", seconds=10))
        await asyncio.sleep(0)
        guess = await browser.get(listener.redirect_uri, params={"code": "evil", "state": "a-guess"})
        assert guess.status_code == 400
        elsewhere = await browser.get(listener.redirect_uri.replace("/callback", "/favicon.ico"))
        assert elsewhere.status_code == 404
        assert not waiting.done()
        answer = await browser.get(listener.redirect_uri, params={"code": "the-code", "state": "the-state"})
        assert answer.status_code == 200
        assert "the-code" not in answer.text
        callback = await waiting
    assert (callback.code, callback.state) == ("the-code", "the-state")
    assert "the-code" not in repr(callback)


async def test_a_refusal_ends_the_waiting_and_silence_does_too() -> None:
    async with LoopbackListener() as listener, httpx.AsyncClient(trust_env=False) as browser:
        waiting = asyncio.create_task(listener.wait("the-state", seconds=10))
        await asyncio.sleep(0)
        await browser.get(listener.redirect_uri, params={"error": "access_denied", "state": "the-state"})
        with pytest.raises(InvalidInput, match="access_denied"):
            await waiting
    async with LoopbackListener() as listener:
        with pytest.raises(TimeoutError):
            await listener.wait("the-state", seconds=0.01)


async def test_the_listener_survives_what_is_no_http() -> None:
    async with LoopbackListener() as listener, httpx.AsyncClient(trust_env=False) as browser:
        waiting = asyncio.create_task(listener.wait("the-state", seconds=10))
        host, port = "127.0.0.1", urlsplit(listener.redirect_uri).port
        for sent in (b"\x16\x03\x01 not http\r\n\r\n", b"A" * 20_000):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert not (await reader.read()).startswith(b"HTTP/1.1 2")
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await browser.get(listener.redirect_uri, params={"code": "the-code", "state": "the-state"})
        assert (await waiting).code == "the-code"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  the-code\n", "the-code"),
        ("http://127.0.0.1:1/callback?code=the-code&state=the-state", "the-code"),
        ("https://app.example/cb?state=the-state&code=a%2Fb", "a/b"),
    ],
)
def test_a_pasted_answer_is_understood(text: str, code: str) -> None:
    assert parse_pasted(text, "the-state").code == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://x.example/?code=c&state=other",
        "http://x.example/?code=c",
        "http://x.example/?state=the-state",
    ],
)
def test_a_pasted_answer_of_another_authorization_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_pasted(text, "the-state")
