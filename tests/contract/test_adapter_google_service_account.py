"""Tokens of a Google service account: what its key signs, what Google's own library signs, and every refusal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import google_auth_httplib2
import httplib2
import jwt
import pytest
import pytest_asyncio
from google.auth.exceptions import RefreshError
from google.oauth2 import service_account
from pydantic import SecretStr

from castiel.adapters.google import PROVIDER
from castiel.adapters.google.service_account import assertion_form
from castiel.domain.credentials import OAuthClient, RefreshMethod, TokenSecret
from castiel.errors import ConfigurationError, ProviderRejected, ReauthRequired
from tests.support.keys import rsa_pair
from tests.support.providers import (
    ProviderSandbox,
    StaticAuthorizer,
    adapter_for,
    connection_for,
    pages_of,
    running_sandbox,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

EMAIL = "castiel@project.iam.gserviceaccount.example.com"
PERSON = "integration@castiel.example.com"
SCOPES = "https://www.googleapis.com/auth/contacts https://www.googleapis.com/auth/calendar.events"
UNISSUED = TokenSecret(access_token=SecretStr(""))
PRIVATE, PUBLIC = rsa_pair()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def account(sandbox: ProviderSandbox) -> ProviderSandbox:
    await sandbox.control.reset()
    await sandbox.control.policy(service_accounts={EMAIL: {"publicKey": PUBLIC, "delegated": SCOPES}})
    return sandbox


def client(key: str | None = PRIVATE, **arguments: Any) -> OAuthClient:
    return OAuthClient(
        client_id="",
        private_key=SecretStr(key) if key else None,
        refresh_method=RefreshMethod.SERVICE_ACCOUNT,
        arguments={"clientEmail": EMAIL, "subject": PERSON, "scopes": SCOPES} | arguments,
    )


async def refresh(account: ProviderSandbox, as_client: OAuthClient) -> TokenSecret:
    connection = connection_for(PROVIDER, {"baseUrl": account.url})
    return await PROVIDER.oauth.refresh(account.http, connection, as_client, UNISSUED)


async def test_its_token_reads_the_persons_records(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=3)
    token = await refresh(account, client())
    assert token.refresh_token is None
    assert token.issued_at is not None
    assert token.expiry_time == (token.issued_at + timedelta(seconds=3599)).replace(microsecond=0)
    adapter = adapter_for(PROVIDER, account, StaticAuthorizer(token.access_token.get_secret_value()))
    assert await pages_of(adapter, "Contact")
    again = await refresh(account, client())
    assert again.access_token != token.access_token


async def test_without_a_subject_it_is_itself(account: ProviderSandbox) -> None:
    assert (await refresh(account, client(subject=None))).scope == SCOPES


async def test_a_key_file_is_taken_as_google_gives_it_out(account: ProviderSandbox) -> None:
    key_file = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "key-1",
        "private_key": PRIVATE,
        "client_email": EMAIL,
        "client_id": "1234567890",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    read = OAuthClient.model_validate(key_file)
    filled = read.model_copy(
        update={"refresh_method": RefreshMethod.SERVICE_ACCOUNT, "arguments": {"scopes": SCOPES}}
    )
    assert (await refresh(account, filled)).access_token.get_secret_value()
    form = assertion_form(filled, SCOPES)
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-1"
    assert "PRIVATE KEY" not in repr(filled)


def _googles_own(url: str, subject: str | None = PERSON) -> service_account.Credentials:
    info = {"client_email": EMAIL, "private_key": PRIVATE, "private_key_id": "key-1", "token_uri": url}
    made = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
        info, scopes=SCOPES.split(), subject=subject
    )
    assert isinstance(made, service_account.Credentials)
    return made


def _refresh(credentials: service_account.Credentials) -> str | None:
    http = httplib2.Http(proxy_info=None, timeout=20)
    with contextlib.closing(http):
        credentials.refresh(google_auth_httplib2.Request(http))  # type: ignore[no-untyped-call]
    token: str | None = credentials.token
    return token


@pytest.mark.sdk
async def test_googles_own_library_signs_the_same_and_gets_a_token(account: ProviderSandbox) -> None:
    theirs = _googles_own(f"{account.url}/token")
    signed = theirs._make_authorization_grant_assertion()  # type: ignore[no-untyped-call]
    ours = assertion_form(client(privateKeyId="key-1"), SCOPES)["assertion"]
    assert jwt.get_unverified_header(ours) == jwt.get_unverified_header(signed)
    times = ("iat", "exp")
    claims = [jwt.decode(text, options={"verify_signature": False}) for text in (ours, signed)]
    mine, others = ({k: v for k, v in each.items() if k not in times} for each in claims)
    assert mine == others
    assert await asyncio.to_thread(_refresh, theirs)
    stranger = _googles_own(f"{account.url}/token", subject="stranger@example.com")
    with pytest.raises(RefreshError, match="invalid_grant"):
        await asyncio.to_thread(_refresh, stranger)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"clientEmail": "nobody@example.com"}, "invalid_grant"),
        ({"subject": "stranger@example.com"}, "invalid_grant"),
        ({"scopes": f"{SCOPES} https://www.googleapis.com/auth/drive"}, "unauthorized_client"),
    ],
    ids=["account-gone", "person-gone", "not-delegated"],
)
async def test_what_only_a_person_can_mend(
    account: ProviderSandbox, arguments: dict[str, str], code: str
) -> None:
    with pytest.raises(ReauthRequired) as raised:
        await refresh(account, client(**arguments))
    assert raised.value.provider_code == code


async def test_another_key_is_refused(account: ProviderSandbox) -> None:
    with pytest.raises(ReauthRequired) as raised:
        await refresh(account, client(rsa_pair()[0]))
    assert raised.value.provider_code == "invalid_grant"


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (client(None), "clientPrivateKey"),
        (client("no key at all"), "clientPrivateKey"),
        (client(clientEmail=""), "settings.clientEmail"),
        (client(subject=["a", "list"]), "settings.subject"),
    ],
    ids=["no-key", "bad-key", "no-email", "bad-subject"],
)
async def test_what_is_missing_is_named(account: ProviderSandbox, made: OAuthClient, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as raised:
        await refresh(account, made)
    assert "no key at all" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://evilgoogle.com",
        # On Google's own host, and anybody's script answers.
        "https://script.google.com/macros/s/anybodys/exec?x=",
        "https://script.google.com/macros/s/anybodys/exec",
    ],
)
async def test_its_assertion_goes_to_google_only(account: ProviderSandbox, url: str) -> None:
    elsewhere = connection_for(PROVIDER, {"baseUrl": url})
    with pytest.raises(ConfigurationError, match="baseUrl"):
        await PROVIDER.oauth.refresh(account.http, elsewhere, client(), UNISSUED)


async def test_a_scope_that_is_none_is_no_persons_matter(account: ProviderSandbox) -> None:
    await account.control.fault("status", status=400, path="token", code="invalid_scope")
    with pytest.raises(ProviderRejected) as raised:
        await refresh(account, client())
    assert not isinstance(raised.value, ReauthRequired)
