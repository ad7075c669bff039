"""GitHub's OAuth over real HTTP: refresh, consent, and an app's installation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from castiel.adapters.github import PROVIDER
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
from tests.support.github import INSTALLATION
from tests.support.keys import rsa_pair
from tests.support.providers import ProviderSandbox, connection_for, running_sandbox

pytestmark = pytest.mark.stack

CLIENT = OAuthClient(client_id="castiel-local", client_secret=SecretStr("castiel-local-secret"))
CALLBACK = "https://castiel.example.com/callback"


@pytest.fixture
async def github() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("github") as sandbox:
        yield sandbox


def connection(github: ProviderSandbox, **settings: object) -> Connection:
    return connection_for(PROVIDER, {"baseUrl": github.url, **settings})


async def granted(github: ProviderSandbox) -> TokenSecret:
    pair = await github.control.grant()
    return TokenSecret(
        access_token=SecretStr(pair["access_token"]), refresh_token=SecretStr(pair["refresh_token"])
    )


async def refresh(github: ProviderSandbox, token: TokenSecret, client: OAuthClient = CLIENT) -> TokenSecret:
    return await PROVIDER.oauth.refresh(github.http, connection(github), client, token)


async def works(github: ProviderSandbox, token: TokenSecret) -> bool:
    headers = {"Authorization": f"Bearer {token.access_token.get_secret_value()}"}
    return (await github.http.send("GET", f"{github.url}/user", headers=headers)).status == 200


async def test_refresh_brings_a_whole_new_pair(github: ProviderSandbox) -> None:
    old = await granted(github)
    new = await refresh(github, old)
    assert new.refresh_token is not None
    assert new.refresh_token != old.refresh_token
    assert (await works(github, new), await works(github, old)) == (True, False)
    assert new.expiry_time is not None
    assert new.issued_at is not None
    assert new.expiry_time - new.issued_at == timedelta(hours=8)
    again = await refresh(github, new)
    assert await works(github, again)


async def test_expiry_is_told_by_the_providers_clock(github: ProviderSandbox) -> None:
    before = (await refresh(github, await granted(github))).expiry_time
    await github.control.set_clock(advance_ms=86_400_000)
    after = (await refresh(github, await granted(github))).expiry_time
    assert before is not None
    assert after is not None
    assert timedelta(hours=23) < after - before < timedelta(hours=25)


async def test_a_dead_grant_needs_a_person(github: ProviderSandbox) -> None:
    token = await granted(github)
    await refresh(github, token)
    with pytest.raises(ReauthRequired) as used_twice:
        await refresh(github, token)
    assert used_twice.value.provider_code == "bad_refresh_token"
    revoked = await granted(github)
    await github.control.revoke()
    with pytest.raises(ReauthRequired):
        await refresh(github, revoked)
    with pytest.raises(ReauthRequired) as without:
        await refresh(github, TokenSecret(access_token=SecretStr("words")))
    assert without.value.provider_code == "no_refresh_token"


async def test_a_wrong_app_is_not_a_dead_grant(github: ProviderSandbox) -> None:
    token = await granted(github)
    wrong = OAuthClient(client_id="castiel-local", client_secret=SecretStr("other words"))
    with pytest.raises(ProviderRejected) as refused:
        await refresh(github, token, wrong)
    assert refused.value.provider_code == "incorrect_client_credentials"
    assert "other words" not in str(refused.value)
    assert await works(github, await refresh(github, token))


async def test_failures_of_the_token_endpoint(github: ProviderSandbox) -> None:
    token = await granted(github)
    for fault, error in (
        ({"status": 503}, ProviderUnavailable),
        ({"status": 429, "retry_after": 9}, ProviderRateLimited),
        ({"status": 404}, ProviderRejected),
    ):
        await github.control.fault("status", path="access_token", **fault)
        with pytest.raises(error) as caught:
            await refresh(github, token)
        assert caught.value.retry_after == fault.get("retry_after")
    await github.control.fault("drop_before", path="access_token")
    with pytest.raises(OutcomeUnknown):
        await refresh(github, token)
    assert len(await github.control.calls(path="access_token")) == 4


async def test_tokens_that_never_expire(github: ProviderSandbox) -> None:
    await github.control.policy(expire_user_tokens=False)
    token = await _consented(github)
    assert (token.refresh_token, token.expiry_time) == (None, None)
    assert await works(github, token)


async def _consented(github: ProviderSandbox, verifier: str = "a-verifier" * 5) -> TokenSecret:
    digest = hashlib.sha256(("a-verifier" * 5).encode()).digest()
    url = PROVIDER.oauth.authorization_url(
        connection(github, scopes="repo"),
        CLIENT,
        redirect_uri=CALLBACK,
        state="state-1",
        code_challenge=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    )
    async with httpx.AsyncClient(trust_env=False) as browser:
        back = parse_qs(urlsplit((await browser.get(url)).headers["location"]).query)
    assert back["state"] == ["state-1"]
    return await PROVIDER.oauth.exchange(
        github.http,
        connection(github),
        CLIENT,
        code=back["code"][0],
        redirect_uri=CALLBACK,
        code_verifier=verifier,
    )


async def test_consent_with_pkce(github: ProviderSandbox) -> None:
    token = await _consented(github)
    assert await works(github, token)
    assert token.scope == "repo"
    with pytest.raises(ReauthRequired) as refused:
        await _consented(github, verifier="another-verifier" * 4)
    assert refused.value.provider_code == "bad_verification_code"


async def test_addresses() -> None:
    public = connection_for(PROVIDER, {})
    url = PROVIDER.oauth.authorization_url(
        public, CLIENT, redirect_uri=CALLBACK, state="s", code_challenge="c"
    )
    assert url.startswith("https://github.com/login/oauth/authorize?client_id=castiel-local&")
    assert "scope=" not in url


@pytest.mark.parametrize("setting", ["loginUrl", "baseUrl"])
async def test_the_apps_secrets_go_to_github_only(github: ProviderSandbox, setting: str) -> None:
    elsewhere = connection_for(PROVIDER, {setting: "https://github.com.example.org"})
    with pytest.raises(ConfigurationError, match="not an address of GitHub"):
        await PROVIDER.oauth.refresh(github.http, elsewhere, CLIENT, await granted(github))


# Installations -------------------------------------------------------------------------------------------


async def app(github: ProviderSandbox) -> OAuthClient:
    private, public = rsa_pair()
    await github.control.policy(clients={"castiel-app": {"secret": "", "publicKey": public}})
    return OAuthClient(client_id="castiel-app", private_key=SecretStr(private))


async def installed(
    github: ProviderSandbox, client: OAuthClient, installation: int = INSTALLATION
) -> TokenSecret:
    settings = connection(github, installationId=installation)
    old = TokenSecret(access_token=SecretStr("none yet"))
    return await PROVIDER.oauth.refresh(github.http, settings, client, old)


async def test_an_installations_token_is_made_from_the_apps_key(github: ProviderSandbox) -> None:
    client = await app(github)
    for _ in range(2):
        # Whatever this machine's clock says, GitHub's is the one that counts.
        await github.control.set_clock(advance_ms=7_200_000)
        token = await installed(github, client)
        assert token.refresh_token is None
        assert token.expiry_time is not None
        assert token.issued_at is not None
        assert timedelta(minutes=59) < token.expiry_time - token.issued_at <= timedelta(hours=1)
        headers = {"Authorization": f"Bearer {token.access_token.get_secret_value()}"}
        reply = await github.http.send("GET", f"{github.url}/installation/repositories", headers=headers)
        assert reply.status == 200


async def test_an_installation_that_is_gone_or_suspended(github: ProviderSandbox) -> None:
    client = await app(github)
    with pytest.raises(ReauthRequired) as gone:
        await installed(github, client, 1)
    assert gone.value.provider_code == "installation_not_found"
    await github.control.policy(installation_suspended=True)
    with pytest.raises(ReauthRequired) as suspended:
        await installed(github, client)
    assert suspended.value.provider_code == "installation_suspended"


async def test_an_installation_without_a_fitting_key(github: ProviderSandbox) -> None:
    await app(github)
    other, _ = rsa_pair()
    with pytest.raises(ProviderRejected):
        await installed(github, OAuthClient(client_id="castiel-app", private_key=SecretStr(other)))
    with pytest.raises(ConfigurationError, match="privateKey"):
        await installed(github, CLIENT)
    with pytest.raises(ConfigurationError, match="privateKey"):
        await installed(github, OAuthClient(client_id="castiel-app", private_key=SecretStr("no key")))
    assert "no key" not in repr(OAuthClient(client_id="x", private_key=SecretStr("no key")))


async def test_limits_of_installation_tokens(github: ProviderSandbox) -> None:
    client = await app(github)
    await github.control.fault("status", status=403, code="secondary_rate_limit", path="access_tokens")
    with pytest.raises(ProviderRateLimited) as limited:
        await installed(github, client)
    assert limited.value.retry_after == 60
    # Another token may be asked for: the HTTP layer tries a dropped call again.
    await github.control.fault("drop_after", path="access_tokens")
    assert (await installed(github, client)).access_token.get_secret_value()
