"""Tokens of Google Pub/Sub and RSA keys by id, with a real key server behind the fetching of key sets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from castiel.adapters.http import HttpPool
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.signatures import PRESETS, PrivateKey, preset, sign
from tests.support.receiver import Door

SCHEME: dict[str, Any] = {
    "preset": "google-pubsub",
    "audiences": ["https://castiel.example/webhooks"],
    "emails": ["pusher@example.iam.gserviceaccount.com"],
}
KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("k1", "k2")}


class KeyServer:
    """Publishes the keys it was told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.published = ["k1"]
        self.named = True
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        keys = [
            json.loads(RSAAlgorithm.to_jwk(KEYS[name].public_key()))
            | {"use": "sig"}
            | ({"kid": name} if self.named else {})
            for name in self.published
        ]
        headers = {"Cache-Control": "public, max-age=3600"}
        return web.json_response({"keys": keys}, status=self.status, headers=headers)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    app = web.Application()
    app.router.add_get("/certs", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/certs"
    yield server
    await runner.cleanup()


@pytest_asyncio.fixture
async def door(server: KeyServer) -> AsyncIterator[Door]:
    door = Door()
    await door.http.aclose()
    door.http = HttpPool(UrlPolicy(frozenset({origin_of(server.url)})), timeout=5)
    door.start()
    await door.plant("google", scheme=SCHEME, secret_names=[], settings={"jwksUrl": server.url})
    yield door
    await door.key_sets.settled()
    await door.background.drained()
    await door.http.aclose()


async def push(door: Door, key: str, message_id: str) -> int:
    changes = {name: value for name, value in SCHEME.items() if name != "preset"}
    scheme = preset("google-pubsub", **changes)
    headers = sign(scheme, b"", PrivateKey(KEYS[key], key), door.clock.now())
    body = json.dumps({"message": {"messageId": message_id, "data": "eyJoaXN0b3J5SWQiOiAiMSJ9"}}).encode()
    return (await door.post(body, headers)).status


async def test_keys_are_fetched_once_and_a_new_one_is_looked_for(door: Door, server: KeyServer) -> None:
    assert [await push(door, "k1", f"m{n}") for n in range(3)] == [200] * 3
    assert server.asked == 1
    server.published = ["k1", "k2"]
    assert await push(door, "k2", "m4") == 401, "within the floor"
    door.clock.advance(61)
    assert [await push(door, "k2", "m5"), await push(door, "k2", "m6")] == [200, 200]
    assert server.asked == 2


async def test_a_new_key_is_looked_for_where_keys_have_no_ids(door: Door, server: KeyServer) -> None:
    server.named = False
    assert await push(door, "k1", "m1") == 200
    server.published = ["k2"]
    door.clock.advance(61)
    assert await push(door, "k2", "m2") == 200
    assert await push(door, "k1", "f1") == 401
    assert server.asked == 2, "and no more often than the floor allows"


async def test_forged_key_ids_do_not_make_us_call(door: Door, server: KeyServer) -> None:
    assert await push(door, "k1", "m1") == 200
    door.clock.advance(61)
    assert {await push(door, "k2", f"f{n}") for n in range(20)} == {401}
    assert server.asked == 2
    assert {audit.reason for audit in door.audits() if audit.status == 401} == {"unknown_key"}


async def test_known_keys_outlive_the_key_server(door: Door, server: KeyServer) -> None:
    assert await push(door, "k1", "m1") == 200
    server.status = 500
    door.clock.advance(7200)
    assert await push(door, "k1", "m2") == 200
    await door.key_sets.settled()
    assert await push(door, "k1", "m3") == 200


async def test_without_any_keys_the_sender_comes_again(door: Door, server: KeyServer) -> None:
    server.status = 500
    assert await push(door, "k1", "m1") == 503
    server.status = 200
    assert await push(door, "k1", "m1") == 503, "not asked again at once"
    door.clock.advance(6)
    assert await push(door, "k1", "m1") == 200


async def test_the_preset_alone_names_nobody_and_accepts_nobody(server: KeyServer) -> None:
    door = Door()
    await door.plant("google", scheme="google-pubsub", secret_names=[], settings={"jwksUrl": server.url})
    await door.http.aclose()
    door.http = HttpPool(UrlPolicy(frozenset({origin_of(server.url)})))
    door.start()
    assert await push(door, "k1", "m1") == 401
    assert door.audits()[0].reason == "unconfigured"
    await door.http.aclose()


async def test_rsa_keys_are_found_by_their_id() -> None:
    door = Door()
    pems = {
        name: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for name, key in KEYS.items()
    }
    await door.plant(
        "google",
        scheme="google-iam",
        secret_names=[],
        settings={"publicKeys": [{"keyId": name, "pem": pem} for name, pem in pems.items()] + ["junk"]},
    )
    body = json.dumps({"message": {"messageId": "m1"}}).encode()
    for name, key in KEYS.items():
        headers = sign(PRESETS["google-iam"], body, PrivateKey(key, name), door.clock.now())
        assert (await door.post(body, headers)).status == 200
    headers["X-Goog-IAM-Authority-Selector"] = "k1"
    assert (await door.post(body, headers)).status == 401
    headers["X-Goog-IAM-Authority-Selector"] = "k3"
    assert (await door.post(body, headers)).status == 401
    assert [audit.reason for audit in door.audits() if audit.status == 401] == ["mismatch", "unknown_key"]
    await door.background.drained()
    await door.http.aclose()


def test_the_fixture_s_scheme_is_a_preset_with_changes() -> None:
    with pytest.raises(ValueError, match="emails"):
        preset("google-pubsub", emails=3)
