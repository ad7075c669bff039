"""The sandboxed org's authorization server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from tests.support.keys import rsa_pair
from tests.support.sandbox import CLIENT, Org, code_of, salesforce_org

pytestmark = pytest.mark.stack


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


async def test_refresh_answers_as_documented(org: Org) -> None:
    """help.salesforce.com remoteaccess_oauth_refresh_token_flow: no expires_in, no refresh token unless rotated."""
    answer = await org.token(grant_type="refresh_token", refresh_token=org.tokens["refresh_token"], **CLIENT)
    body = answer.json()
    assert set(body) == {
        "access_token",
        "signature",
        "scope",
        "instance_url",
        "id",
        "token_type",
        "issued_at",
    }
    assert abs(int(body["issued_at"]) / 1000 - time.time()) < 60
    signed = hmac.new(
        CLIENT["client_secret"].encode(), (body["id"] + body["issued_at"]).encode(), hashlib.sha256
    )
    assert base64.b64decode(body["signature"]) == signed.digest()
    org.use(body["access_token"])
    assert (await org.query("SELECT COUNT() FROM Account")).status_code == 200


async def test_refresh_accepts_basic_authentication(org: Org) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": org.tokens["refresh_token"]}
    url = f"{org.control.url}/services/oauth2/token"
    answer = await org.http.post(url, data=form, auth=(CLIENT["client_id"], CLIENT["client_secret"]))
    assert answer.status_code == 200
    wrong = await org.http.post(url, data=form, auth=(CLIENT["client_id"], "not-the-secret"))
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"refresh_token": "made-up"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"grant_type": "telepathy"}, "unsupported_grant_type"),
    ],
)
async def test_refresh_refusals(org: Org, change: dict[str, str], error: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": org.tokens["refresh_token"], **CLIENT, **change}
    answer = await org.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    if error == "invalid_grant":
        assert answer.json()["error_description"] == "expired access/refresh token"


async def test_rotation_kills_the_old_refresh_token_and_its_session(org: Org) -> None:
    await org.control.policy(rotate_refresh_tokens=True)
    old = org.tokens["refresh_token"]
    first = (await org.token(grant_type="refresh_token", refresh_token=old, **CLIENT)).json()
    assert first["refresh_token"] != old
    again = await org.token(grant_type="refresh_token", refresh_token=old, **CLIENT)
    assert again.json()["error"] == "invalid_grant"
    assert code_of(await org.query("SELECT Id FROM Account")) == (401, "INVALID_SESSION_ID")
    org.use(first["access_token"])
    assert (await org.query("SELECT Id FROM Account")).status_code == 200


async def test_expiry_by_order_by_time_and_revocation(org: Org) -> None:
    assert await org.control.expire_access_tokens() == 1
    assert code_of(await org.query("SELECT Id FROM Account")) == (401, "INVALID_SESSION_ID")
    form = {"grant_type": "refresh_token", "refresh_token": org.tokens["refresh_token"], **CLIENT}
    org.use((await org.token(**form)).json()["access_token"])
    assert (await org.query("SELECT Id FROM Account")).status_code == 200
    await org.control.set_clock(advance_ms=2 * 3600 * 1000 + 1)
    assert code_of(await org.query("SELECT Id FROM Account")) == (401, "INVALID_SESSION_ID")
    assert await org.control.revoke(org.tokens["refresh_token"]) == 1
    assert (await org.token(**form)).json()["error"] == "invalid_grant"


async def test_introspection_and_revocation_endpoint(org: Org) -> None:
    url, token = f"{org.control.url}/services/oauth2", org.tokens["access_token"]
    active = (await org.http.post(f"{url}/introspect", data={"token": token, **CLIENT})).json()
    assert active["active"] is True
    assert active["exp"] - active["iat"] == 7200
    assert (await org.http.post(f"{url}/revoke", data={"token": token})).status_code == 200
    gone = (await org.http.post(f"{url}/introspect", data={"token": token, **CLIENT})).json()
    assert gone == {"active": False}
    assert (await org.http.post(f"{url}/revoke", data={"token": token})).json()["error"] == "invalid_token"
    assert (await org.http.get(f"{url}/userinfo")).status_code == 403


async def test_authorization_code_with_pkce(org: Org) -> None:
    verifier = "a-long-made-up-verifier-of-at-least-forty-three-characters"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": CLIENT["client_id"],
        "redirect_uri": "https://castiel.example.com/callback",
        "state": "xyz",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }

    async def exchange(code_verifier: str) -> tuple[int, dict[str, str]]:
        consent = await org.http.get(f"{org.control.url}/services/oauth2/authorize", params=query)
        assert consent.status_code == 302
        back = parse_qs(urlsplit(consent.headers["Location"]).query)
        assert back["state"] == ["xyz"]
        answer = await org.token(
            grant_type="authorization_code",
            code=back["code"][0],
            redirect_uri=query["redirect_uri"],
            code_verifier=code_verifier,
            **CLIENT,
        )
        return answer.status_code, answer.json()

    status, body = await exchange(verifier)
    assert status == 200
    assert body["refresh_token"]
    status, body = await exchange("another verifier")
    assert (status, body["error"], body["error_description"]) == (
        400,
        "invalid_grant",
        "invalid code verifier",
    )


async def test_jwt_bearer(org: Org) -> None:
    key, public = rsa_pair()
    await org.control.policy(clients={"jwt-app": {"secret": None, "publicKey": public}})
    claims = {
        "iss": "jwt-app",
        "sub": "integration@castiel.example.com",
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 120,
    }
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    good = await org.token(grant_type=grant_type, assertion=jwt.encode(claims, key, algorithm="RS256"))
    assert set(good.json()) == {"access_token", "scope", "instance_url", "id", "token_type"}
    elsewhere = jwt.encode(claims | {"aud": "https://other.example.com"}, key, algorithm="RS256")
    refused = (await org.token(grant_type=grant_type, assertion=elsewhere)).json()
    assert refused == {"error": "invalid_grant", "error_description": "audience is invalid"}
