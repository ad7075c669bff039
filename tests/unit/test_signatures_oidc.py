"""OpenID Connect tokens: who signed, for whom, when, and who sends."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from castiel.domain.signatures import PrivateKey, PublicKey, parse_jwks, preset, sign, verify
from tests.support.signature_cases import BODY, NOW, PUSHER, ec_pair, pubsub, refusal, rsa_pair
from tests.support.signature_vectors import read_document

PRIVATE, PUBLIC = rsa_pair("key-1")
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": "https://castiel.example/push",
    "email": PUSHER,
    "email_verified": True,
    "sub": "1137",
    "iat": SECONDS,
    "exp": SECONDS + 3600,
}
ABSENT = "(absent)"  # a text, since object() has another name in every process


def bearer(
    changes: dict[str, Any] | None = None, private: PrivateKey = PRIVATE, algorithm: str = "RS256"
) -> dict[str, str]:
    claims = {key: value for key, value in {**CLAIMS, **(changes or {})}.items() if value is not ABSENT}
    header = {"kid": private.key_id} if private.key_id else None
    token = jwt.api_jws.encode(json.dumps(claims).encode(), private.key, algorithm, headers=header)
    return {"Authorization": f"Bearer {token}"}


def raw_token(header: bytes, payload: bytes, signature: bytes = b"x") -> dict[str, str]:
    parts = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload, signature))
    return {"Authorization": "Bearer " + ".".join(parts)}


def test_googles_documented_token_is_accepted_from_a_key_we_know() -> None:
    document = read_document("google-pubsub-claims")
    claims, kid = document["claims"], document["header"]["kid"]
    private, public = rsa_pair(kid)
    token = jwt.encode(claims, private.key, "RS256", headers=document["header"])
    entry = jwt.algorithms.RSAAlgorithm.to_jwk(public.key, as_dict=True) | {
        "kid": kid,
        "use": "sig",
        "alg": "RS256",
    }
    scheme = pubsub(audiences=[claims["aud"]], emails=[claims["email"]])
    now = datetime.fromtimestamp(claims["iat"], UTC)
    result = verify(scheme, {"Authorization": f"Bearer {token}"}, BODY, parse_jwks({"keys": [entry]}), now)
    assert result.claims == claims
    assert (result.key_id, result.timestamp) == (kid, now)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "accepted"),
        ({"iss": "accounts.google.com"}, "accepted"),
        ({"iss": "https://accounts.google.com.example"}, "wrong_issuer"),
        ({"iss": ["https://accounts.google.com"]}, "wrong_issuer"),
        ({"iss": ABSENT}, "malformed"),
        ({"aud": ["other", "https://castiel.example/push"]}, "accepted"),
        ({"aud": "https://castiel.example/push/"}, "wrong_audience"),
        ({"aud": []}, "malformed"),
        ({"aud": ABSENT}, "malformed"),
        ({"email": "somebody@else.iam.gserviceaccount.com"}, "wrong_identity"),
        ({"email": ABSENT}, "wrong_identity"),
        ({"email": [PUSHER]}, "wrong_identity"),
        ({"email_verified": False}, "wrong_identity"),
        ({"email_verified": "true"}, "wrong_identity"),
        ({"email_verified": ABSENT}, "wrong_identity"),
        ({"exp": SECONDS - 59}, "accepted"),
        ({"exp": SECONDS - 60}, "expired"),
        ({"exp": ABSENT}, "malformed"),
        ({"exp": "never"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"iat": SECONDS + 60}, "accepted"),
        ({"iat": SECONDS + 61}, "not_yet_valid"),
        ({"iat": -1}, "malformed"),
        ({"iat": ABSENT}, "malformed"),
        ({"nbf": SECONDS + 61}, "not_yet_valid"),
        ({"nbf": "now"}, "malformed"),
    ],
    ids=str,
)
def test_claims(changes: dict[str, Any], expected: str) -> None:
    assert refusal(pubsub(), bearer(changes), [PUBLIC]) == expected


def test_what_sign_makes_is_accepted_for_its_hour() -> None:
    headers = sign(pubsub(), BODY, PRIVATE, NOW)
    assert refusal(pubsub(), headers, [PUBLIC], now=NOW + timedelta(minutes=60)) == "accepted"
    assert refusal(pubsub(), headers, [PUBLIC], now=NOW + timedelta(minutes=61)) == "expired"


def test_without_an_audience_and_a_sender_nothing_is_accepted() -> None:
    assert refusal(preset("google-pubsub"), bearer(), [PUBLIC]) == "unconfigured"
    assert refusal(pubsub(emails=[]), bearer(), [PUBLIC]) == "unconfigured"
    assert refusal(pubsub(audiences=[]), bearer(), [PUBLIC]) == "unconfigured"


def test_a_sender_can_be_named_by_subject() -> None:
    assert refusal(pubsub(emails=[], subjects=["1137"]), bearer({"email": ABSENT}), [PUBLIC]) == "accepted"
    assert refusal(pubsub(emails=[], subjects=["1138"]), bearer(), [PUBLIC]) == "wrong_identity"
    assert refusal(pubsub(emails=[], subjects=["1137"]), bearer({"sub": ABSENT}), [PUBLIC]) != "accepted"


def test_keys_rotate_by_key_id() -> None:
    private, public = rsa_pair("key-2")
    assert verify(pubsub(), bearer(private=private), BODY, [PUBLIC, public], NOW).secret_index == 1
    assert refusal(pubsub(), bearer(private=private), [PUBLIC]) == "unknown_key"
    assert refusal(pubsub(), bearer(private=PrivateKey(private.key, "key-1")), [PUBLIC, public]) == "mismatch"
    assert refusal(pubsub(), bearer(private=PrivateKey(PRIVATE.key)), [PUBLIC]) == "unknown_key"
    assert refusal(pubsub(), bearer(private=PrivateKey(PRIVATE.key)), [PublicKey(PUBLIC.key)]) == "accepted"


def test_the_algorithm_is_the_schemes_choice_not_the_tokens() -> None:
    """RFC 8725, section 2.1: `none`, HMAC keyed by the public key, another asymmetric algorithm."""
    payload = json.dumps(CLAIMS).encode()
    assert (
        refusal(pubsub(), raw_token(b'{"alg":"none","kid":"key-1"}', payload, b""), [PUBLIC])
        == "wrong_algorithm"
    )
    assert refusal(pubsub(), raw_token(b'{"kid":"key-1"}', payload), [PUBLIC]) == "wrong_algorithm"
    assert (
        refusal(pubsub(), raw_token(b'{"alg":["RS256"],"kid":"key-1"}', payload), [PUBLIC])
        == "wrong_algorithm"
    )
    pem = PUBLIC.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing_input = raw_token(b'{"alg":"HS256","kid":"key-1"}', payload)["Authorization"][7:].rpartition(".")[
        0
    ]
    mac = base64.urlsafe_b64encode(hmac.digest(pem, signing_input.encode(), "sha256")).rstrip(b"=").decode()
    confused = {"Authorization": f"Bearer {signing_input}.{mac}"}
    assert refusal(pubsub(), confused, [PUBLIC]) == "wrong_algorithm"
    assert refusal(pubsub(), bearer(algorithm="RS512"), [PUBLIC]) == "wrong_algorithm"


def test_es256_where_the_scheme_allows_it() -> None:
    private, public = ec_pair("key-1")
    headers = bearer(private=private, algorithm="ES256")
    both = pubsub(algorithms=["RS256", "ES256"])
    assert refusal(both, headers, [PUBLIC, public]) == "accepted"
    assert refusal(both, headers, [PUBLIC]) == "mismatch"
    assert refusal(pubsub(), headers, [PUBLIC, public]) == "wrong_algorithm"


@pytest.mark.parametrize(
    "text",
    ["Bearer", "Bearer ", "Basic abc", "Bearer a.b", "Bearer a.b.c.d", "Bearer ...", "Bearer " + "." * 8000,
     "Bearer " + "A" * 8000, "Token x.y.z"],
)  # fmt: skip
def test_what_is_no_token_is_malformed(text: str) -> None:
    assert refusal(pubsub(), {"Authorization": text}, [PUBLIC]) == "malformed"


def test_the_word_before_the_token_is_case_insensitive() -> None:
    headers = {"authorization": bearer()["Authorization"].replace("Bearer", "bearer")}
    assert refusal(pubsub(), headers, [PUBLIC]) == "accepted"


@pytest.mark.parametrize(
    "header",
    [b"[" * 5000, b'{"alg":' + b"[" * 5000, b'{"alg":"RS256","kid":7}', b'{"alg":"RS256","kid":"key-1","crit":["x"]}',
     b'{"alg":"RS256","kid":"key-1","b64":false,"crit":["b64"]}', b"null", b"\xff\xfe", b'{"alg":' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_hostile_token_headers(header: bytes) -> None:
    assert refusal(pubsub(), raw_token(header, b"{}"), [PUBLIC]) in (
        "malformed",
        "wrong_algorithm",
        "mismatch",
    )


@pytest.mark.parametrize("payload", [b"[" * 4000, b"null", b"[]", b"\xff", b'{"exp":' + b"9" * 4500 + b"}"])
def test_hostile_payloads_even_if_signed(payload: bytes) -> None:
    token = jwt.api_jws.encode(payload, PRIVATE.key, "RS256", headers={"kid": "key-1"})
    assert refusal(pubsub(), {"Authorization": f"Bearer {token}"}, [PUBLIC]) == "malformed"
