"""One signed delivery per kind of scheme, with throwaway keys made once per run."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from castiel.domain.signatures import (
    PRESETS,
    PrivateKey,
    PublicKey,
    Secret,
    SignatureRefused,
    SignatureScheme,
    preset,
    sign,
    verify,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BODY = b'{"type":"contact.updated","id":"c-1"}'
SECRET = b"bm90IGEgc2VjcmV0LCBhIHRlc3QgdmFsdWU="  # valid base64, so it fits every preset
PUSHER = "pusher@example-project.iam.gserviceaccount.com"


class Case(NamedTuple):
    """A scheme with what signs for it and what verifies it."""

    scheme: SignatureScheme
    signing: bytes | PrivateKey
    verifying: Secret

    def headers(self, body: bytes = BODY, now: datetime = NOW, message_id: str = "msg_1") -> dict[str, str]:
        return sign(self.scheme, body, self.signing, now, message_id)


@lru_cache
def rsa_pair(key_id: str | None = None) -> tuple[PrivateKey, PublicKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return PrivateKey(key, key_id), PublicKey(key.public_key(), key_id)


@lru_cache
def ec_pair(key_id: str | None = None) -> tuple[PrivateKey, PublicKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return PrivateKey(key, key_id), PublicKey(key.public_key(), key_id)


@lru_cache
def cases() -> dict[str, Case]:
    """A case for every preset."""
    made = {}
    for name, scheme in PRESETS.items():
        if scheme.algorithm == "oidc-jwt":
            made[name] = Case(pubsub(), *rsa_pair("key-1"))
        elif scheme.algorithm == "rsa-sha256":
            made[name] = Case(scheme, *rsa_pair("key-1"))
        else:
            made[name] = Case(scheme, SECRET, SECRET)
    return made


def pubsub(**changes: object) -> SignatureScheme:
    settings: dict[str, object] = {"audiences": ["https://castiel.example/push"], "emails": [PUSHER]}
    return preset("google-pubsub", **settings | changes)


def refusal(
    scheme: SignatureScheme,
    headers: object,
    secrets: list[Secret],
    body: bytes = BODY,
    now: datetime = NOW,
) -> str:
    """The reason a delivery is refused for; ``"accepted"`` if it isn't."""
    try:
        verify(scheme, headers, body, secrets, now)  # type: ignore[arg-type]
    except SignatureRefused as error:
        return error.reason.value
    return "accepted"
