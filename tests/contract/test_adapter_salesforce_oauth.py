"""Salesforce's OAuth against a sandboxed org: consent with PKCE, refresh, rotation, and every way to be refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from castiel.adapters.salesforce import PROVIDER
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    ConfigurationError,
    MalformedResponse,
    OutcomeUnknown,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)
from tests.support.providers import (
    ProviderSandbox,
    StaticAuthorizer,
    adapter_for,
    connection_for,
    running_sandbox,
)

pytestmark = pytest.mark.stack

CLIENT = OAuthClient(client_id="castiel-local", client_secret=SecretStr("castiel-local-secret"))
REDIRECT = "http://127.0.0.1/callback"
VERIFIER = "a-verifier-of-the-length-that-is-asked-for-by-rfc-7636"


@pytest.fixture
async def org() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("salesforce") as sandbox:
        yield sandbox


async def granted(org: ProviderSandbox) -> TokenSecret:
    answer = await org.control.grant()
    return TokenSecret(
        access_token=SecretStr(answer["access_token"]),
        refresh_token=SecretStr(answer["refresh_token"]),
        instance_url=answer["instance_url"],
    )


async def refresh(
    org: ProviderSandbox, token: TokenSecret, client: OAuthClient = CLIENT, **settings: Any
) -> TokenSecret:
    connection = connection_for(PROVIDER, {"baseUrl": org.url, **settings})
    return await PROVIDER.oauth.refresh(org.http, connection, client, token)


async def works(org: ProviderSandbox, token: TokenSecret) -> bool:
    access = StaticAuthorizer(token.access_token.get_secret_value(), token.instance_url)
    return bool((await adapter_for(PROVIDER, org, access).check()).account)


async def test_a_refresh_gives_a_session_that_works(org: ProviderSandbox) -> None:
    old = await granted(org)
    new = await refresh(org, old)
    assert new.access_token != old.access_token
    assert new.refresh_token == old.refresh_token
    assert new.instance_url == org.url
    assert new.issued_at is not None
    assert new.expiry_time == (new.issued_at + timedelta(hours=2)).replace(microsecond=0)
    assert await works(org, new)


async def test_the_session_lives_as_long_as_the_setting_says(org: ProviderSandbox) -> None:
    new = await refresh(org, await granted(org), sessionMinutes=15)
    assert new.issued_at is not None
    assert new.expiry_time == (new.issued_at + timedelta(minutes=15)).replace(microsecond=0)
    with pytest.raises(ConfigurationError, match="sessionMinutes"):
        await refresh(org, await granted(org), sessionMinutes="long")


async def test_a_rotated_refresh_token_replaces_the_old_one(org: ProviderSandbox) -> None:
    await org.control.policy(rotate_refresh_tokens=True)
    old = await granted(org)
    new = await refresh(org, old)
    assert new.refresh_token not in (None, old.refresh_token)
    assert (await refresh(org, new)).refresh_token not in (old.refresh_token, new.refresh_token)
    with pytest.raises(ReauthRequired):
        await refresh(org, old)


async def test_without_a_connection_the_org_itself_is_asked(org: ProviderSandbox) -> None:
    new = await PROVIDER.oauth.refresh(org.http, None, CLIENT, await granted(org))
    assert await works(org, new)


async def test_a_withdrawn_grant_needs_a_person(org: ProviderSandbox) -> None:
    token = await granted(org)
    await org.control.revoke()
    with pytest.raises(ReauthRequired) as raised:
        await refresh(org, token)
    assert raised.value.provider_code == "invalid_grant"
    assert not raised.value.retryable
    with pytest.raises(ReauthRequired):
        await refresh(org, TokenSecret(access_token=SecretStr("x")))


@pytest.mark.parametrize(
    "client",
    [
        OAuthClient(client_id="castiel-local", client_secret=SecretStr("wrong")),
        OAuthClient(client_id="nobody", client_secret=SecretStr("wrong")),
    ],
)
async def test_a_wrong_app_is_refused_and_the_grant_not_blamed(
    org: ProviderSandbox, client: OAuthClient
) -> None:
    with pytest.raises(ProviderRejected) as raised:
        await refresh(org, await granted(org), client)
    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 500}, ProviderUnavailable),
        ({"kind": "status", "status": 503}, ProviderUnavailable),
        ({"kind": "status", "status": 429, "retry_after": 30}, ProviderRateLimited),
        ({"kind": "drop_after"}, OutcomeUnknown),
        ({"kind": "malformed"}, MalformedResponse),
    ],
)
async def test_a_token_endpoint_that_fails_is_asked_again_later(
    org: ProviderSandbox, fault: dict[str, Any], error: type[ProviderError]
) -> None:
    token = await granted(org)
    await org.control.fault(path="oauth2/token", times=1, **fault)
    with pytest.raises(error) as raised:
        await refresh(org, token)
    assert raised.value.retryable
    assert raised.value.retry_after == fault.get("retry_after")
    assert await works(org, await refresh(org, token))


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com",
        "https://salesforce.com.example",
        "http://127.0.0.1:1",
        # Addresses on Salesforce's hosts behind which a customer's own code answers.
        "https://acme.my.salesforce.com/services/apexrest/taken",
        "https://acme.secure.force.com/taken?x=",
        "https://acme.my.salesforce.com#",
        "https://login.salesforce.com:99999",
    ],
)
async def test_the_apps_secret_is_sent_to_salesforce_only(org: ProviderSandbox, url: str) -> None:
    with pytest.raises(ConfigurationError):
        await refresh(org, await granted(org), loginUrl=url)


async def test_a_person_authorises_with_pkce(org: ProviderSandbox) -> None:
    connection = connection_for(PROVIDER, {"baseUrl": org.url})
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    url = PROVIDER.oauth.authorization_url(
        connection, CLIENT, redirect_uri=REDIRECT, state="state & more", code_challenge=challenge
    )
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["state & more"]
    token = await PROVIDER.oauth.exchange(
        org.http, connection, CLIENT, code=back["code"][0], redirect_uri=REDIRECT, code_verifier=VERIFIER
    )
    assert token.refresh_token is not None
    assert token.scope == "api id refresh_token"
    assert await works(org, await refresh(org, token))
    with pytest.raises(ReauthRequired):
        await PROVIDER.oauth.exchange(
            org.http, connection, CLIENT, code=back["code"][0], redirect_uri=REDIRECT, code_verifier=VERIFIER
        )


async def test_a_code_is_worth_nothing_without_its_verifier(org: ProviderSandbox) -> None:
    connection = connection_for(PROVIDER, {"baseUrl": org.url})
    url = PROVIDER.oauth.authorization_url(
        connection, CLIENT, redirect_uri=REDIRECT, state="s", code_challenge="another"
    )
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    with pytest.raises(ProviderError):
        await PROVIDER.oauth.exchange(
            org.http, connection, CLIENT, code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER
        )


def test_people_log_in_at_salesforce_unless_told_otherwise() -> None:
    def url(**settings: str) -> str:
        connection = connection_for(PROVIDER, dict(settings))
        return PROVIDER.oauth.authorization_url(
            connection, CLIENT, redirect_uri=REDIRECT, state="s", code_challenge="c"
        )

    assert url().startswith("https://login.salesforce.com/services/oauth2/authorize?")
    assert url(loginUrl="https://test.salesforce.com/").startswith("https://test.salesforce.com/services/")
    assert "code_challenge_method=S256" in url()
