"""The Google adapter's OAuth, health check and description."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from castiel.adapters.google import PROVIDER
from castiel.adapters.http import AccessToken, ApiClient
from castiel.domain.connections import Connection
from castiel.domain.conversion import ConversionSchema, to_external, to_shard, validate_schema
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    ConfigurationError,
    PermissionDenied,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)
from tests.support.google import CLIENT_ID, CLIENT_SECRET, card, create, google_adapter, meeting
from tests.support.providers import (
    OpenGate,
    ProviderSandbox,
    StaticAuthorizer,
    adapter_for,
    connection_for,
    pages_of,
    records_of,
    running_sandbox,
)

pytestmark = pytest.mark.stack
CLIENT = OAuthClient(client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
REDIRECT = "https://castiel.example.com/callback"
VERIFIER = "a-verifier-of-sufficient-length-for-the-standard"


@pytest.fixture
async def account() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as sandbox:
        yield sandbox


def connection(account: ProviderSandbox, **settings: str) -> Connection:
    return connection_for(PROVIDER, {"baseUrl": account.url, **settings})


async def granted(account: ProviderSandbox) -> TokenSecret:
    tokens = await account.control.grant()
    return TokenSecret(
        access_token=SecretStr(tokens["access_token"]), refresh_token=SecretStr(tokens["refresh_token"])
    )


async def test_a_refresh_keeps_the_refresh_token(account: ProviderSandbox) -> None:
    old = await granted(account)
    new = await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, old)
    assert new.refresh_token == old.refresh_token
    assert new.access_token != old.access_token
    assert new.issued_at is not None
    assert new.expiry_time is not None
    assert new.expiry_time - new.issued_at == timedelta(seconds=3599)
    assert "auth/contacts" in (new.scope or "")
    adapter = adapter_for(PROVIDER, account, StaticAuthorizer(new.access_token.get_secret_value()))
    assert await pages_of(adapter, "Contact")


async def test_a_grant_is_withdrawn(account: ProviderSandbox) -> None:
    token = await granted(account)
    for _ in range(2):
        assert await PROVIDER.oauth.revoke(account.http, connection(account), CLIENT, token)
    with pytest.raises(ReauthRequired):
        await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, token)
    await account.control.fault("status", status=503, path="revoke")
    with pytest.raises(ProviderUnavailable):
        await PROVIDER.oauth.revoke(account.http, connection(account), CLIENT, token)


async def test_a_dead_grant_wants_a_person(account: ProviderSandbox) -> None:
    old = await granted(account)
    await account.control.revoke()
    with pytest.raises(ReauthRequired) as raised:
        await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, old)
    assert raised.value.provider_code == "invalid_grant"
    lonely = TokenSecret(access_token=SecretStr("an-access-token"))
    with pytest.raises(ReauthRequired):
        await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, lonely)


async def test_an_organisations_session_policy_wants_a_person(account: ProviderSandbox) -> None:
    old = await granted(account)
    await account.control.policy(session_control=True)
    with pytest.raises(ReauthRequired) as raised:
        await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, old)
    assert raised.value.provider_code == "invalid_rapt"


async def test_a_wrong_client_is_nothing_a_person_can_cure(account: ProviderSandbox) -> None:
    wrong = OAuthClient(client_id=CLIENT_ID, client_secret=SecretStr("not-the-secret"))
    with pytest.raises(ProviderRejected) as raised:
        await PROVIDER.oauth.refresh(account.http, connection(account), wrong, await granted(account))
    assert raised.value.provider_code == "invalid_client"
    assert "not-the-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "error"), [(503, ProviderUnavailable), (500, ProviderUnavailable), (429, ProviderRateLimited)]
)
async def test_a_token_endpoint_in_trouble_is_tried_later(
    account: ProviderSandbox, status: int, error: type[Exception]
) -> None:
    old = await granted(account)
    await account.control.fault("status", status=status, path="token", retry_after=7)
    with pytest.raises(error) as raised:
        await PROVIDER.oauth.refresh(account.http, connection(account), CLIENT, old)
    assert raised.value.retry_after == 7  # type: ignore[attr-defined]


async def test_the_apps_secret_goes_to_google_only(account: ProviderSandbox) -> None:
    elsewhere = connection(account, baseUrl="https://accounts.example.com")
    with pytest.raises(ConfigurationError):
        await PROVIDER.oauth.refresh(account.http, elsewhere, CLIENT, await granted(account))
    lookalike = connection(account, baseUrl="https://evilgoogle.com")
    with pytest.raises(ConfigurationError):
        await PROVIDER.oauth.refresh(account.http, lookalike, CLIENT, await granted(account))


async def test_a_person_authorises_and_the_code_is_exchanged(account: ProviderSandbox) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    there = connection(account)
    url = PROVIDER.oauth.authorization_url(
        there, CLIENT, redirect_uri=REDIRECT, state="state-1", code_challenge=challenge
    )
    back = parse_qs(urlsplit(await _visit(url)).query)
    assert back["state"] == ["state-1"]
    token = await PROVIDER.oauth.exchange(
        account.http, there, CLIENT, code=back["code"][0], redirect_uri=REDIRECT, code_verifier=VERIFIER
    )
    assert token.refresh_token is not None
    refreshed = await PROVIDER.oauth.refresh(account.http, there, CLIENT, token)
    assert refreshed.refresh_token == token.refresh_token
    with pytest.raises(ReauthRequired):
        await PROVIDER.oauth.exchange(
            account.http, there, CLIENT, code=back["code"][0], redirect_uri=REDIRECT, code_verifier=VERIFIER
        )
    code = parse_qs(urlsplit(await _visit(url)).query)["code"][0]
    with pytest.raises(ReauthRequired):
        await PROVIDER.oauth.exchange(
            account.http, there, CLIENT, code=code, redirect_uri=REDIRECT, code_verifier="another"
        )


async def _visit(url: str) -> str:
    """Where a browser would be sent to after the consent."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def test_the_real_addresses_are_googles() -> None:
    real = connection_for(PROVIDER, {})
    url = PROVIDER.oauth.authorization_url(real, CLIENT, redirect_uri=REDIRECT, state="s", code_challenge="c")
    query = parse_qs(urlsplit(url).query)
    assert url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert (query["access_type"], query["prompt"], query["code_challenge_method"]) == (
        ["offline"],
        ["consent"],
        ["S256"],
    )


async def test_a_token_goes_to_googles_apis_and_no_further(account: ProviderSandbox) -> None:
    api = ApiClient(
        account.http,
        connection_for(PROVIDER, {}),
        PROVIDER.adapter.dialect,
        StaticAuthorizer("t"),
        OpenGate(),
    )
    token = AccessToken(SecretStr("t"))
    for url in ("https://people.googleapis.com/v1/people/me", "https://www.googleapis.com/calendar/v3/x"):
        assert api._url(url, token) == url
    for url in ("https://people.googleapis.com.example.com/v1", "http://people.googleapis.com/v1"):
        with pytest.raises(ProviderRejected):
            api._url(url, token)


async def test_the_health_check_tells_whose_account_it_is(account: ProviderSandbox) -> None:
    health = await (await google_adapter(account)).check()
    assert health.account == "integration@castiel.example.com"
    assert len(health.scopes) == 2
    partial = await account.control.grant(scope="openid https://www.googleapis.com/auth/contacts")
    adapter = adapter_for(PROVIDER, account, StaticAuthorizer(partial["access_token"]))
    health = await adapter.check()
    assert health.account
    assert health.scopes == ("https://www.googleapis.com/auth/contacts",)
    nothing = await account.control.grant(scope="openid")
    with pytest.raises(PermissionDenied):
        await adapter_for(PROVIDER, account, StaticAuthorizer(nothing["access_token"])).check()


async def test_the_default_schemas_fit_what_is_described(account: ProviderSandbox) -> None:
    described = {d.name: d for d in await (await google_adapter(account)).describe()}
    for definition in PROVIDER.default_schemas:
        schema = ConversionSchema.model_validate(definition)
        problems = validate_schema(schema, described[schema.entity].fields)
        assert [p for p in problems if p.severity == "error"] == []


@pytest.mark.parametrize("size", [0, -1, "100", True])
async def test_a_page_size_that_is_none_is_refused(account: ProviderSandbox, size: object) -> None:
    with pytest.raises(ConfigurationError):
        await google_adapter(account, pageSize=size)


async def test_described_fields_are_what_records_have(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=40, Event=40)
    adapter = await google_adapter(account)
    for description in await adapter.describe():
        known = {field.name.split(".")[0] for field in description.fields}
        for record in records_of(await pages_of(adapter, description.name)):
            assert set(record.fields) <= known


@pytest.mark.parametrize(
    ("entity", "fields"), [("Contact", card("Ada", "King", "ada@example.com")), ("Event", meeting("M"))]
)
async def test_records_survive_the_way_through_a_shard_and_back(
    account: ProviderSandbox, entity: str, fields: dict[str, object]
) -> None:
    adapter = await google_adapter(account)
    [made] = await adapter.push(entity, [create("shard-1", **fields)])
    definition = next(d for d in PROVIDER.default_schemas if d["entity"] == entity)
    schema = ConversionSchema.model_validate(definition)
    record = (await adapter.get(entity, [made.external_id or ""]))[made.external_id or ""]
    shard = to_shard(schema, record.fields).fields
    [copy] = await adapter.push(entity, [create("shard-2", **to_external(schema, shard))])
    assert copy.ok, copy.error
    assert copy.fields is not None
    again = to_shard(schema, copy.fields).fields
    assert {n: v for n, v in again.items() if n != "url"} == {n: v for n, v in shard.items() if n != "url"}
