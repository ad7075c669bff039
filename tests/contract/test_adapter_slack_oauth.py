"""Slack's OAuth against the sandboxed workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from castiel.adapters.slack import PROVIDER
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    ConfigurationError,
    MalformedResponse,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)
from tests.support.providers import ProviderSandbox, connection_for, running_sandbox
from tests.support.slack import CLIENT_ID, CLIENT_SECRET

pytestmark = pytest.mark.stack

OAUTH = PROVIDER.oauth
CLIENT = OAuthClient(client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
BACK = "https://castiel.example.com/back"


@pytest.fixture
async def sandbox() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("slack") as found:
        yield found


def connection(sandbox: ProviderSandbox, **settings: object) -> Connection:
    return connection_for(PROVIDER, {"baseUrl": sandbox.url, **settings})


async def granted(sandbox: ProviderSandbox, **options: object) -> TokenSecret:
    answer = await sandbox.control.grant(**options)
    refresh = answer.get("refresh_token")
    return TokenSecret(
        access_token=SecretStr(answer["access_token"]), refresh_token=SecretStr(refresh) if refresh else None
    )


async def consent(sandbox: ProviderSandbox, settled: Connection) -> TokenSecret:
    url = OAUTH.authorization_url(settled, CLIENT, redirect_uri=BACK, state="s-1", code_challenge="unused")
    async with httpx.AsyncClient(trust_env=False) as browser:
        sent_back = await browser.get(url)
    query = parse_qs(urlsplit(sent_back.headers["location"]).query)
    assert query["state"] == ["s-1"]
    return await OAUTH.exchange(
        sandbox.http, settled, CLIENT, code=query["code"][0], redirect_uri=BACK, code_verifier="unused"
    )


async def test_refreshing_gives_a_new_pair(sandbox: ProviderSandbox) -> None:
    old = await granted(sandbox)
    before = datetime.now(UTC)
    new = await OAUTH.refresh(sandbox.http, connection(sandbox), CLIENT, old)
    assert new.access_token != old.access_token
    assert new.refresh_token not in (None, old.refresh_token)
    assert new.expiry_time is not None
    assert timedelta(hours=11, minutes=59) < new.expiry_time - before < timedelta(hours=12, minutes=1)
    assert new.token_type == "bot"
    with pytest.raises(ReauthRequired) as caught:
        await OAUTH.refresh(sandbox.http, connection(sandbox), CLIENT, old)
    assert caught.value.provider_code == "invalid_refresh_token"


async def test_the_client_authenticates_by_basic(sandbox: ProviderSandbox) -> None:
    wrong = OAuthClient(client_id=CLIENT_ID, client_secret=SecretStr("wrong"))
    with pytest.raises(ProviderRejected, match="bad_client_secret"):
        await OAUTH.refresh(sandbox.http, connection(sandbox), wrong, await granted(sandbox))
    with pytest.raises(ConfigurationError, match="client secret"):
        await OAUTH.refresh(
            sandbox.http, connection(sandbox), OAuthClient(client_id=CLIENT_ID), await granted(sandbox)
        )


async def test_an_app_that_does_not_rotate(sandbox: ProviderSandbox) -> None:
    await sandbox.control.policy(token_rotation=False)
    token = await consent(sandbox, connection(sandbox))
    assert (token.expiry_time, token.refresh_token) == (None, None)
    with pytest.raises(ReauthRequired):
        await OAUTH.refresh(sandbox.http, connection(sandbox), CLIENT, token)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, "invalid_refresh_token", ReauthRequired),
        (200, "token_revoked", ReauthRequired),
        (200, "token_expired", ReauthRequired),
        (200, "account_inactive", ReauthRequired),
        (400, "invalid_grant", ReauthRequired),
        (200, "invalid_client_id", ProviderRejected),
        (200, "internal_error", ProviderUnavailable),
        (503, None, ProviderUnavailable),
        (429, None, ProviderRateLimited),
    ],
)
async def test_the_words_of_a_refused_refresh(
    sandbox: ProviderSandbox, status: int, code: str | None, kind: type[Exception]
) -> None:
    token = await granted(sandbox)
    await sandbox.control.fault(
        "status", status=status, path="oauth.v2.access", **({"code": code} if code else {})
    )
    with pytest.raises(kind) as caught:
        await OAUTH.refresh(sandbox.http, connection(sandbox), CLIENT, token)
    assert type(caught.value) is kind
    assert token.refresh_token is not None
    assert token.refresh_token.get_secret_value() not in str(caught.value)


async def test_an_answer_that_is_no_token(sandbox: ProviderSandbox) -> None:
    token = await granted(sandbox)
    await sandbox.control.fault("malformed", path="oauth.v2.access")
    with pytest.raises(MalformedResponse):
        await OAUTH.refresh(sandbox.http, connection(sandbox), CLIENT, token)


async def test_a_person_authorises_the_bot(sandbox: ProviderSandbox) -> None:
    token = await consent(sandbox, connection(sandbox))
    assert token.token_type == "bot"
    assert token.refresh_token is not None
    assert token.expiry_time is not None


async def test_a_person_authorises_in_their_own_name(sandbox: ProviderSandbox) -> None:
    settled = connection(sandbox, tokenType="user", scopes="users:read,users.profile:write")
    token = await consent(sandbox, settled)
    assert (token.token_type, token.scope) == ("user", "users:read,users.profile:write")
    again = await OAUTH.refresh(sandbox.http, settled, CLIENT, token)
    assert again.token_type == "user"


async def test_a_code_serves_once(sandbox: ProviderSandbox) -> None:
    with pytest.raises(ReauthRequired, match="invalid_code"):
        await OAUTH.exchange(
            sandbox.http,
            connection(sandbox),
            CLIENT,
            code="made-up",
            redirect_uri=BACK,
            code_verifier="unused",
        )


async def test_the_secret_goes_to_slack_only(sandbox: ProviderSandbox) -> None:
    elsewhere = connection_for(PROVIDER, {"baseUrl": "https://slack.com.example.com"})
    with pytest.raises(ConfigurationError, match="not an address of Slack"):
        await OAUTH.refresh(sandbox.http, elsewhere, CLIENT, await granted(sandbox))


def test_the_authorization_address() -> None:
    url = OAUTH.authorization_url(
        connection_for(PROVIDER, {}), CLIENT, redirect_uri=BACK, state="s", code_challenge="c"
    )
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://slack.com/oauth/v2/authorize"
    assert "chat:write" in query["scope"][0].split(",")
    assert "code_challenge" not in query
