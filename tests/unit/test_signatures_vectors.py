"""Verification against published examples."""

from __future__ import annotations

import pytest

from castiel.domain.signatures import SignatureRefused, sign, verify
from tests.support.signature_vectors import Vector, read_vectors

VECTORS = list(read_vectors())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_vector(vector: Vector) -> None:
    if vector.result == "valid":
        assert (
            verify(vector.scheme, vector.headers, vector.body, vector.secrets, vector.now).secret_index == 0
        )
    else:
        with pytest.raises(SignatureRefused) as caught:
            verify(vector.scheme, vector.headers, vector.body, vector.secrets, vector.now)
        assert caught.value.reason == vector.result


def test_every_vector_names_its_source() -> None:
    assert all(vector.source.startswith("https://") for vector in VECTORS)
    assert len(VECTORS) > 50


@pytest.mark.parametrize(
    "name", ["github: hello world", "slack: slash command", "standard-webhooks: sign function works"]
)
def test_signing_gives_the_published_headers(name: str) -> None:
    vector = next(vector for vector in VECTORS if vector.name == name)
    secret = vector.secrets[0]
    assert isinstance(secret, bytes)
    message_id = vector.headers.get("webhook-id")
    assert sign(vector.scheme, vector.body, secret, vector.now, message_id) == vector.headers


def test_a_standard_webhooks_secret_may_carry_its_prefix() -> None:
    vector = next(v for v in VECTORS if v.name == "standard-webhooks: sign function works")
    secret = vector.secrets[0]
    assert isinstance(secret, bytes)
    result = verify(vector.scheme, vector.headers, vector.body, [b"wh" + b"sec_" + secret], vector.now)
    assert result.message_id == vector.headers["webhook-id"]
    assert result.timestamp == vector.now
