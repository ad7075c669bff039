"""Fails closed: what every scheme refuses, and what the several-secrets and several-headers rules let through."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from castiel.domain.signatures import (
    MAX_HEADER_CHARS,
    PRESETS,
    PublicKey,
    SignatureRefused,
    parse_jwks,
    parse_scheme,
    preset,
    sign,
    verify,
)
from castiel.errors import SignatureInvalid
from tests.support.signature_cases import BODY, NOW, SECRET, cases, ec_pair, refusal, rsa_pair

ALL = sorted(PRESETS)
BODY_SIGNED = [n for n in ALL if PRESETS[n].algorithm not in ("shared-token", "oidc-jwt")]
SHARED = [n for n in ALL if PRESETS[n].algorithm not in ("rsa-sha256", "oidc-jwt")]
TIMED = ["slack", "standard-webhooks", "stripe-like"]


@pytest.mark.parametrize("name", ALL)
def test_what_is_signed_is_accepted(name: str) -> None:
    case = cases()[name]
    assert verify(case.scheme, case.headers(), BODY, [case.verifying], NOW).secret_index == 0


@pytest.mark.parametrize("name", ALL)
def test_each_header_is_required_once_and_not_empty(name: str) -> None:
    case = cases()[name]
    headers = case.headers()
    for missing in headers:
        rest = {key: value for key, value in headers.items() if key != missing}
        assert refusal(case.scheme, rest, [case.verifying]) == "missing_header"
        assert refusal(case.scheme, {**rest, missing: ""}, [case.verifying]) == "missing_header"
        assert (
            refusal(case.scheme, {**headers, missing.swapcase(): "x"}, [case.verifying]) == "duplicate_header"
        )
        assert (
            refusal(case.scheme, [*headers.items(), (missing, "x")], [case.verifying]) == "duplicate_header"
        )
        assert (
            refusal(case.scheme, {**rest, missing: [headers[missing], "x"]}, [case.verifying])
            == "duplicate_header"
        )
        long = {**rest, missing: "a" * (MAX_HEADER_CHARS + 1)}
        assert refusal(case.scheme, long, [case.verifying]) == "malformed"


@pytest.mark.parametrize("name", ALL)
def test_header_names_are_case_insensitive_and_values_may_be_lists(name: str) -> None:
    case = cases()[name]
    headers = case.headers()
    assert refusal(case.scheme, {k.upper(): v for k, v in headers.items()}, [case.verifying]) == "accepted"
    assert refusal(case.scheme, {k.lower(): [v] for k, v in headers.items()}, [case.verifying]) == "accepted"
    assert refusal(case.scheme, list(headers.items()), [case.verifying]) == "accepted"


def test_a_header_name_in_look_alike_letters_is_refused() -> None:
    scheme = parse_scheme({"algorithm": "shared-token", "header": "X-Token-K"})
    assert refusal(scheme, {"X-Token-\N{KELVIN SIGN}": SECRET.decode()}, [SECRET]) == "malformed"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("secrets", [[], [b""], [b"", b"  \n"]])
def test_without_a_usable_secret_nothing_is_accepted(name: str, secrets: list[bytes]) -> None:
    case = cases()[name]
    assert refusal(case.scheme, case.headers(), list(secrets)) == "no_secret"


def test_an_empty_secret_signs_for_nobody() -> None:
    """HMAC with an empty key is a valid calculation: it must never be made."""
    forged = {"X-Hub-Signature-256": "sha256=" + hmac.digest(b"", BODY, "sha256").hex()}
    assert refusal(PRESETS["github"], forged, [b"", SECRET]) == "mismatch"
    assert (
        refusal(PRESETS["standard-webhooks"], cases()["standard-webhooks"].headers(), [b"wh" + b"sec_"])
        == "no_secret"
    )


@pytest.mark.parametrize("name", BODY_SIGNED)
def test_a_changed_body_is_refused(name: str) -> None:
    case = cases()[name]
    headers = case.headers()
    reserialised = json.dumps(json.loads(BODY)).encode()
    slipped_in = json.dumps({**json.loads(BODY), "challenge": "x", "type": "url_verification"}).encode()
    for body in (
        reserialised,
        slipped_in,
        BODY + b"\n",
        b"",
        BODY[:-1],
        b'{"challenge":"x"}',
        b'{"zen":"x"}',
    ):
        assert body != BODY
        assert refusal(case.scheme, headers, [case.verifying], body) == "mismatch"


@pytest.mark.parametrize("name", BODY_SIGNED)
def test_a_handshake_needs_a_signature_as_any_event_does(name: str) -> None:
    case = cases()[name]
    for handshake in (b'{"type":"url_verification","challenge":"x"}', b'{"verification_token":"x"}', b""):
        assert refusal(case.scheme, {}, [case.verifying], handshake) == "missing_header"
        assert refusal(case.scheme, case.headers(handshake), [case.verifying], handshake) == "accepted"


@pytest.mark.parametrize("name", ALL)
def test_every_live_secret_is_accepted_and_named(name: str) -> None:
    case = cases()[name]
    other = rsa_pair("key-2")[1] if isinstance(case.verifying, PublicKey) else b"b3RoZXI="
    headers = case.headers()
    assert verify(case.scheme, headers, BODY, [other, b"", case.verifying], NOW).secret_index == 2
    assert refusal(case.scheme, headers, [other]) in ("mismatch", "unknown_key")


@pytest.mark.parametrize("name", TIMED)
def test_five_minutes_either_way(name: str) -> None:
    case = cases()[name]
    headers = case.headers()
    for seconds, expected in (
        (300, "accepted"),
        (-300, "accepted"),
        (301, "expired"),
        (-301, "not_yet_valid"),
    ):
        now = NOW + timedelta(seconds=seconds)
        assert refusal(case.scheme, headers, [case.verifying], now=now) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "-1", "+1", "1e9", "1.5", "0x10", "१२३", "9" * 15, "9" * 5000, "nan", "inf"]
)
def test_only_a_plain_timestamp_is_read(text: str) -> None:
    case = cases()["slack"]
    headers = case.headers() | {"X-Slack-Request-Timestamp": text}
    assert refusal(case.scheme, headers, [case.verifying]) in ("malformed", "missing_header")


def test_a_timestamp_with_a_leading_zero_is_not_the_one_that_was_signed() -> None:
    case = cases()["slack"]
    headers = case.headers()
    headers["X-Slack-Request-Timestamp"] = "0" + headers["X-Slack-Request-Timestamp"]
    assert refusal(case.scheme, headers, [case.verifying]) == "mismatch"


def test_an_id_can_not_be_shifted_into_the_timestamp() -> None:
    """id ``a.b`` and id ``a`` with another timestamp would sign the same bytes."""
    case = cases()["standard-webhooks"]
    stamp = str(int(NOW.timestamp()))
    body = stamp.encode() + b"." + BODY
    honest = case.headers(body, message_id="msg_1")
    shifted = honest | {"webhook-id": f"msg_1.{stamp}"}
    assert refusal(case.scheme, honest, [case.verifying], body) == "accepted"
    assert refusal(case.scheme, shifted, [case.verifying], BODY) == "malformed"


@pytest.mark.parametrize("name", SHARED)
def test_a_public_key_is_never_a_shared_secret(name: str) -> None:
    """Whoever knows the public key could sign with it, were it taken for one."""
    public = rsa_pair("key-1")[1]
    pem = public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    case = cases()[name]
    assert refusal(case.scheme, case.headers(), [pem, b"\n" + pem, public]) == "no_secret"


@pytest.mark.parametrize(
    "text",
    ["", "sha256=", "sha1=" + "0" * 40, "0" * 64, "sha256=" + "0" * 63, "sha256=" + "g" * 64, "sha256= " + "0" * 64,
     "SHA256=" + "0" * 64, "sha256=" + "0" * 64 + ",sha256=" + "0" * 64],
)  # fmt: skip
def test_a_signature_of_another_form_is_malformed(text: str) -> None:
    assert refusal(PRESETS["github"], {"X-Hub-Signature-256": text}, [SECRET]) in (
        "malformed",
        "missing_header",
    )


def test_hex_in_capitals_is_the_same_signature() -> None:
    headers = cases()["salesforce"].headers()
    assert refusal(PRESETS["salesforce"], {k: v.upper() for k, v in headers.items()}, [SECRET]) == "accepted"


def test_a_truncated_signature_is_refused() -> None:
    headers = {k: v[:-2] for k, v in cases()["salesforce"].headers().items()}
    assert refusal(PRESETS["salesforce"], headers, [SECRET]) == "mismatch"


def test_too_many_signatures_are_not_tried() -> None:
    case = cases()["standard-webhooks"]
    headers = case.headers()
    many = {**headers, "webhook-signature": " ".join(["v1,AAAA"] * 16 + [headers["webhook-signature"]])}
    few = {**headers, "webhook-signature": " ".join(["v1,AAAA"] * 15 + [headers["webhook-signature"]])}
    assert refusal(case.scheme, many, [case.verifying]) == "malformed"
    assert refusal(case.scheme, few, [case.verifying]) == "accepted"


def test_rsa_keys_rotate_by_key_id() -> None:
    scheme = PRESETS["google-iam"]
    (old_private, old), (new_private, new) = rsa_pair("old"), rsa_pair("new")
    for private, index in ((new_private, 0), (old_private, 1)):
        result = verify(scheme, sign(scheme, BODY, private, NOW), BODY, [new, old], NOW)
        assert (result.secret_index, result.key_id) == (index, private.key_id)
    assert refusal(scheme, sign(scheme, BODY, old_private, NOW), [new]) == "unknown_key"
    lying = sign(scheme, BODY, old_private, NOW) | {"X-Goog-IAM-Authority-Selector": "new"}
    assert refusal(scheme, lying, [new, old]) == "mismatch"


def test_a_key_without_id_stands_for_any_and_pem_will_do() -> None:
    private, public = rsa_pair("any")
    pem = public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    scheme = PRESETS["google-iam"]
    assert refusal(scheme, sign(scheme, BODY, private, NOW), [pem]) == "accepted"
    assert refusal(scheme, sign(scheme, BODY, private, NOW), [b"not a key", ec_pair()[1]]) == "no_secret"


def test_weak_rsa_keys_are_no_keys() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505
    with pytest.raises(ValueError, match="2048"):
        PublicKey.from_pem(weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_rsa_with_pss_and_a_signed_timestamp() -> None:
    scheme = preset(
        "google-iam",
        padding="pss",
        timestampHeader="X-Time",
        timestampUnit="ms",
        template="{timestamp}\n{body}",
    )
    private, public = rsa_pair("key-1")
    headers = sign(scheme, BODY, private, NOW)
    assert verify(scheme, headers, BODY, [public], NOW).timestamp == NOW
    assert refusal(scheme, headers | {"X-Time": "1"}, [public]) == "expired"
    assert refusal(preset("google-iam"), headers, [public]) == "mismatch"


def test_a_jwk_set_gives_its_signing_keys() -> None:
    entry = {"kty": "RSA", "e": "AQAB", "n": "AQAB", "kid": "weak"}
    assert (
        parse_jwks({"keys": [entry, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}, "x", {"use": "enc"}]}) == ()
    )
    with pytest.raises(ValueError, match="keys"):
        parse_jwks({})


@pytest.mark.parametrize("name", ALL)
def test_a_refusal_tells_nothing_of_what_was_sent(name: str) -> None:
    case = cases()[name]
    sent = "do-not-repeat-me"
    headers = dict.fromkeys(case.headers(), sent)
    with pytest.raises(SignatureInvalid) as caught:
        verify(case.scheme, headers, sent.encode(), [case.verifying], NOW)
    error = caught.value
    assert isinstance(error, SignatureRefused)
    assert not error.retryable
    assert sent not in str(error)
    assert error.__suppress_context__ or error.__context__ is None
    assert str(error).startswith(error.reason.value)
