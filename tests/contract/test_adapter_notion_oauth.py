"""Notion's OAuth against the sandboxed workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from castiel.adapters.notion import PROVIDER
from castiel.adapters.notion.oauth import KEEP_ALIVE
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    ConfigurationError,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)
from tests.support.notion import Workspace, notion_workspace
from tests.support.providers import connection_for

pytestmark = pytest.mark.stack

CLIENT = OAuthClient(client_id="castiel-local", client_secret=SecretStr("castiel-local-secret"))
BACK = "https://castiel.example.com/oauth/back"


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with notion_workspace() as found:
        yield found


def _connection(workspace: Workspace) -> Connection:
    return connection_for(PROVIDER, {"authUrl": workspace.sandbox.url})


def _token(workspace: Workspace) -> TokenSecret:
    return TokenSecret(
        access_token=SecretStr(workspace.tokens["access_token"]),
        refresh_token=SecretStr(workspace.tokens["refresh_token"]),
    )


async def _refresh(workspace: Workspace, token: TokenSecret, client: OAuthClient = CLIENT) -> TokenSecret:
    return await PROVIDER.oauth.refresh(workspace.sandbox.http, _connection(workspace), client, token)


async def _works(workspace: Workspace, token: TokenSecret) -> bool:
    bearer = f"Bearer {token.access_token.get_secret_value()}"
    return (await workspace.call("GET", "/v1/users/me", Authorization=bearer)).status_code == 200


async def test_both_tokens_are_replaced_and_the_old_ones_are_spent(workspace: Workspace) -> None:
    old = _token(workspace)
    new = await _refresh(workspace, old)
    assert new.refresh_token != old.refresh_token
    assert await _works(workspace, new)
    assert not await _works(workspace, old)
    again = await _refresh(workspace, new)
    assert await _works(workspace, again)
    with pytest.raises(ReauthRequired) as caught:
        await _refresh(workspace, old)
    assert caught.value.provider_code == "invalid_grant"


async def test_a_token_without_a_told_expiry_is_kept_alive_daily(workspace: Workspace) -> None:
    new = await _refresh(workspace, _token(workspace))
    assert new.expiry_time is not None
    assert new.issued_at is not None
    assert abs(new.expiry_time - new.issued_at - KEEP_ALIVE) < timedelta(seconds=1)


async def test_an_answer_without_a_refresh_token_keeps_the_old_one(workspace: Workspace) -> None:
    await workspace.control.policy(issue_refresh_tokens=False)
    old = _token(workspace)
    new = await _refresh(workspace, old)
    assert new.refresh_token == old.refresh_token


async def test_without_rotation_the_refresh_token_stays(workspace: Workspace) -> None:
    await workspace.control.policy(rotate_refresh_tokens=False)
    old = _token(workspace)
    assert (await _refresh(workspace, old)).refresh_token == old.refresh_token


async def test_an_older_integration_has_nothing_to_refresh(workspace: Workspace) -> None:
    with pytest.raises(ReauthRequired):
        await _refresh(workspace, TokenSecret(access_token=SecretStr("made-up")))
    assert await workspace.control.calls() == []


async def test_a_withdrawn_grant_needs_a_person(workspace: Workspace) -> None:
    await workspace.control.revoke()
    with pytest.raises(ReauthRequired):
        await _refresh(workspace, _token(workspace))


async def test_a_wrong_client_is_no_reason_to_ask_a_person(workspace: Workspace) -> None:
    wrong = OAuthClient(client_id="castiel-local", client_secret=SecretStr("wrong"))
    with pytest.raises(ProviderRejected) as caught:
        await _refresh(workspace, _token(workspace), wrong)
    assert caught.value.provider_code == "invalid_client"
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_grant", ReauthRequired),
        (429, "rate_limited", ProviderRateLimited),
        (503, "service_unavailable", ProviderUnavailable),
    ],
)
async def test_the_errors_of_the_token_endpoint(
    workspace: Workspace, status: int, code: str, error: type[Exception]
) -> None:
    await workspace.control.fault("status", status=status, code=code, path="oauth/token")
    with pytest.raises(error):
        await _refresh(workspace, _token(workspace))


async def test_a_refresh_whose_answer_is_lost_may_have_taken_effect(workspace: Workspace) -> None:
    await workspace.control.fault("drop_after", path="oauth/token")
    with pytest.raises(OutcomeUnknown):
        await _refresh(workspace, _token(workspace))


async def test_a_grant_can_be_withdrawn(workspace: Workspace) -> None:
    token = _token(workspace)
    assert await PROVIDER.oauth.revoke(workspace.sandbox.http, _connection(workspace), CLIENT, token)
    assert not await _works(workspace, token)


async def test_the_secret_goes_to_notion_only(workspace: Workspace) -> None:
    elsewhere = connection_for(PROVIDER, {"authUrl": "https://notion.example.com"})
    with pytest.raises(ConfigurationError, match="authUrl"):
        await PROVIDER.oauth.refresh(workspace.sandbox.http, elsewhere, CLIENT, _token(workspace))


async def test_consent_and_exchange(workspace: Workspace) -> None:
    url = PROVIDER.oauth.authorization_url(
        _connection(workspace), CLIENT, redirect_uri=BACK, state="st ate", code_challenge="unused"
    )
    consent = await workspace.http.get(url)
    assert consent.status_code == 302
    back = parse_qs(urlsplit(consent.headers["Location"]).query)
    assert back["state"] == ["st ate"]

    async def exchange() -> TokenSecret:
        return await PROVIDER.oauth.exchange(
            workspace.sandbox.http,
            _connection(workspace),
            CLIENT,
            code=back["code"][0],
            redirect_uri=BACK,
            code_verifier="unused",
        )

    token = await exchange()
    assert await _works(workspace, token)
    assert token.refresh_token is not None
    with pytest.raises(ReauthRequired):
        await exchange()


async def test_a_grant_without_refresh_token_never_expires(workspace: Workspace) -> None:
    await workspace.control.policy(issue_refresh_tokens=False)
    url = PROVIDER.oauth.authorization_url(
        _connection(workspace), CLIENT, redirect_uri=BACK, state="s", code_challenge=""
    )
    code = parse_qs(urlsplit((await workspace.http.get(url)).headers["Location"]).query)["code"][0]
    token = await PROVIDER.oauth.exchange(
        workspace.sandbox.http, _connection(workspace), CLIENT, code=code, redirect_uri=BACK, code_verifier=""
    )
    assert (token.refresh_token, token.expiry_time) == (None, None)
