"""What a client certificate says of itself."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from castiel.errors import InvalidInput


def certificate_expiry(pem: str) -> datetime:
    """Until when the first certificate of a PEM text is valid. Raises :class:`InvalidInput`."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        raise InvalidInput("the certificate is not PEM (-----BEGIN CERTIFICATE-----)") from None


def check_private_key(pem: str) -> None:
    """Whether a PEM text is an unencrypted private key. Raises :class:`InvalidInput`."""
    try:
        load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise InvalidInput("the private key is not unencrypted PEM (-----BEGIN PRIVATE KEY-----)") from None
