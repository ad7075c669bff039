"""Who sent a webhook: signature verification as pure functions over the raw body.

The five algorithms (HMAC-SHA256, HMAC-SHA1, RSA-SHA256, request signing, timestamp + signature), shared tokens
and OpenID Connect tokens; senders' schemes are configuration over them (``PRESETS``, ``parse_scheme``).
"""

from .headers import MAX_HEADER_CHARS, Headers
from .keys import PublicKey, Secret, parse_jwks
from .presets import PRESETS, preset
from .refusal import Reason, SignatureRefused
from .schemes import (
    HmacScheme,
    OidcScheme,
    RequestSigningScheme,
    RsaScheme,
    SharedTokenScheme,
    SignatureScheme,
    TimestampSignatureScheme,
    parse_scheme,
)
from .sign import PrivateKey, sign
from .verification import Verification
from .verify import verify

__all__ = [
    "MAX_HEADER_CHARS",
    "PRESETS",
    "Headers",
    "HmacScheme",
    "OidcScheme",
    "PrivateKey",
    "PublicKey",
    "Reason",
    "RequestSigningScheme",
    "RsaScheme",
    "Secret",
    "SharedTokenScheme",
    "SignatureRefused",
    "SignatureScheme",
    "TimestampSignatureScheme",
    "Verification",
    "parse_jwks",
    "parse_scheme",
    "preset",
    "sign",
    "verify",
]
