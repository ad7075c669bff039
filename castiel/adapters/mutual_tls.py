"""Client certificates: what a connection presents to a server that asks who calls (mutual TLS)."""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass

from pydantic import SecretStr

from castiel.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its unencrypted private key, both PEM.

    ``owner``: whose it is (tenant, credential). Another certificate of the same owner takes its place.
    """

    certificate: str
    key: SecretStr
    owner: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return "ClientCertificate(…)"


def client_context(certificate: ClientCertificate, trusted: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """A TLS context that presents the certificate. ``trusted``: whose authorities to trust instead of the system's.

    Raises :class:`ConfigurationError` when the two don't belong together.
    """
    context = ssl.create_default_context()
    if trusted is not None:
        for authority in trusted.get_ca_certs(binary_form=True):
            context.load_verify_locations(cadata=authority)
    pem = f"{certificate.certificate.strip()}\n{certificate.key.get_secret_value().strip()}\n"
    try:
        _load(context, pem.encode())
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"the client certificate and its private key can't be used ({type(error).__name__})"
        ) from None
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL's binding reads files only: a nameless one in memory, so that the key never lies on a disk."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("certificate")
        path = f"/proc/self/fd/{handle}"
    else:
        handle, path = tempfile.mkstemp()

    try:
        os.write(handle, pem)
        context.load_cert_chain(path)
    finally:
        os.close(handle)
        if not path.startswith("/proc/"):
            os.unlink(path)
