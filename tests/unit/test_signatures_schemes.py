"""Schemes as configuration: what can be combined, and what a mistake in one says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from castiel.domain.signatures import PRESETS, SignatureScheme, parse_scheme, preset, sign, verify
from tests.support.signature_cases import BODY, NOW, SECRET, refusal, rsa_pair

HMAC = {"algorithm": "hmac-sha256", "signatureHeader": "X-Sig"}
LISTED = {"algorithm": "timestamp-signature", "signatureHeader": "X-Sig", "timestampField": "t"}

COMBINATIONS: dict[str, dict[str, Any]] = {
    "github-like with another header and prefix": HMAC | {"prefix": "hmac="},
    "base64url": HMAC | {"encoding": "base64url"},
    "timestamp in its own header": HMAC | {"timestampHeader": "X-Time", "template": "{timestamp}:{body}"},
    "timestamp behind the body": HMAC | {"timestampHeader": "X-Time", "template": "{body}|{timestamp}"},
    "milliseconds": HMAC
    | {"timestampHeader": "X-Time", "timestampUnit": "ms", "template": "{timestamp}.{body}"},
    "id, timestamp and literals": HMAC
    | {"timestampHeader": "T", "idHeader": "I", "template": "POST\n{id}\n{timestamp}\n{body}\nend"},
    "slack-like, version 2": {
        "algorithm": "request-signing",
        "signatureHeader": "S",
        "timestampHeader": "T",
        "version": "v2",
        "prefix": "v2=",
        "hash": "sha1",
    },
    "stripe-like with semicolons": LISTED
    | {"entrySeparator": ";", "fieldSeparator": ":", "signatureField": "s"},
    "stripe-like in base64": LISTED | {"encoding": "base64"},
    "base64 secret behind a word": HMAC | {"secretEncoding": "base64", "secretPrefix": "key_"},
    "rsa without key ids": {"algorithm": "rsa-sha256", "signatureHeader": "S", "encoding": "base64url"},
    "token behind a word": {"algorithm": "shared-token", "header": "Authorization", "prefix": "Token "},
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_custom_scheme_receives_what_it_describes(name: str) -> None:
    scheme = parse_scheme(COMBINATIONS[name])
    signing, verifying = rsa_pair() if scheme.algorithm == "rsa-sha256" else (SECRET, SECRET)
    headers = sign(scheme, BODY, signing, NOW, "msg-1")
    assert verify(scheme, headers, BODY, [verifying], NOW).secret_index == 0
    if scheme.algorithm != "shared-token":
        assert refusal(scheme, headers, [verifying], BODY + b" ") == "mismatch"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"signatureHeader": "two words"}, "signatureHeader"),
        ({"signatureHeader": "X-Sig\n"}, "signatureHeader"),
        ({"encoding": "rot13"}, "encoding"),
        ({"toleranceSeconds": 0}, "toleranceSeconds"),
        ({"tolerenceSeconds": 10}, "tolerenceSeconds"),
        ({"prefix": "line\nbreak"}, "prefix"),
        ({"template": "{timestamp}.{body}"}, "template"),
        ({"template": "nothing of it"}, "template"),
        ({"template": "{body}{body}"}, "template"),
        ({"template": "{body}.{url}"}, "template"),
        ({"template": "{body"}, "template"),
        ({"template": "é{body}"}, "template"),
        ({"timestampHeader": "T"}, "template"),
        ({"idHeader": "I"}, "template"),
        ({"idHeader": "I", "template": "{id}{body}"}, "template"),
        ({"idHeader": "x-sig", "template": "{id}.{body}"}, "signatureHeader"),
        (LISTED | {"timestampField": None}, "timestampField"),
        (LISTED | {"timestampHeader": "T"}, "timestampField"),
        (LISTED | {"timestampField": "v1"}, "timestampField"),
        (LISTED | {"fieldSeparator": ","}, "fieldSeparator"),
        (LISTED | {"template": "{body}"}, "template"),
        ({"algorithm": "md5"}, "algorithm"),
    ],
)
def test_a_mistake_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_scheme(HMAC | changes)
    assert field in str(caught.value)


def test_a_scheme_survives_json_and_lives_in_other_models() -> None:
    class Registration(BaseModel):
        scheme: SignatureScheme

    for scheme in PRESETS.values():
        text = Registration(scheme=scheme).model_dump_json(by_alias=True)
        assert Registration.model_validate_json(text).scheme == scheme


def test_a_preset_can_be_changed_but_not_broken() -> None:
    assert preset("salesforce", encoding="base64").model_dump()["encoding"] == "base64"
    assert preset("slack", toleranceSeconds=60) == preset("slack", tolerance_seconds=60)
    with pytest.raises(ValidationError, match="template"):
        preset("slack", template="{body}")
    with pytest.raises(KeyError):
        preset("unheard-of")


def test_a_copied_scheme_reads_its_own_headers() -> None:
    copied = PRESETS["github"].model_copy(update={"signature_header": "X-Other"})
    headers = sign(PRESETS["github"], BODY, SECRET, NOW)
    assert verify(PRESETS["github"], headers, BODY, [SECRET], NOW)
    assert refusal(copied, headers, [SECRET]) == "missing_header"


def test_signing_says_what_it_lacks() -> None:
    for scheme, secret, message_id in (
        (PRESETS["standard-webhooks"], SECRET, None),
        (PRESETS["standard-webhooks"], SECRET, "with.a.stop"),
        (PRESETS["standard-webhooks"], b"", "msg_1"),
        (PRESETS["google-iam"], SECRET, None),
    ):
        with pytest.raises(ValueError):
            sign(scheme, BODY, secret, NOW, message_id)
