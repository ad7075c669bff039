"""A connection whose provider asks who calls: a real TLS server that takes only the certificate it knows."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from castiel.adapters.http import HttpPool
from castiel.adapters.mutual_tls import ClientCertificate
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.credentials import CredentialType
from castiel.errors import ConfigurationError, ProviderError
from castiel.services.credentials import CredentialAuthorizer
from castiel.services.credentials.management import NewCredential
from tests.support.credentials import TENANT, World
from tests.support.fakes.coordination import YieldingClock

pytestmark = pytest.mark.stack


def identity(name: str, days: int = 30) -> tuple[str, str]:
    """A self-signed certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


@asynccontextmanager
async def tls_server(folder: Path, known: str) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Answers with the common name of whoever calls. Yields its address and what trusts it."""
    certificate, key = identity("server")
    file = folder / "server.pem"
    file.write_text(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=known)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        peer = writer.get_extra_info("peercert")
        name = dict(pair for part in peer["subject"] for pair in part)["commonName"].encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(name), name)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    trusted = ssl.create_default_context(cadata=certificate)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", trusted


@asynccontextmanager
async def pool_for(url: str, trusted: ssl.SSLContext) -> AsyncIterator[HttpPool]:
    pool = HttpPool(UrlPolicy(frozenset({origin_of(url)})), timeout=5, verify=trusted)
    try:
        yield pool
    finally:
        await pool.aclose()


async def test_a_connection_presents_the_certificate_that_is_stored_for_it(tmp_path: Path) -> None:
    certificate, key = identity("castiel-client")
    world = World(clock=YieldingClock(datetime.now(UTC)))
    service = world.process()
    for name, kind, secret, companions in (
        ("tls-key", CredentialType.CLIENT_PRIVATE_KEY, key, ()),
        ("tls-cert", CredentialType.CLIENT_CERTIFICATE, certificate, ("tls-key",)),
    ):
        stored = await service.manage.store(
            NewCredential(name, TENANT, "salesforce", kind, SecretStr(secret), companion_ids=companions)
        )
    assert stored.expiry_time is not None
    assert stored.warn_at == stored.expiry_time - timedelta(days=30)
    connection = Connection(
        id="conn-tls", tenant_id=TENANT, integration_id="salesforce", credential_id="tls-cert"
    )
    token = await CredentialAuthorizer(service, connection).current()
    assert token.value.get_secret_value() == ""

    async with tls_server(tmp_path, certificate) as (url, trusted), pool_for(url, trusted) as pool:
        reply = await pool.send("GET", url, certificate=token.certificate)
        assert reply.body == b"castiel-client"
        with pytest.raises(ProviderError):
            await pool.send("GET", url)
        stranger = ClientCertificate(*_secret(identity("stranger")))
        with pytest.raises(ProviderError):
            await pool.send("GET", url, certificate=stranger)


async def test_a_certificate_and_anothers_key_are_refused_by_name(tmp_path: Path) -> None:
    certificate, _ = identity("castiel-client")
    _, other_key = identity("stranger")
    mixed = ClientCertificate(certificate, SecretStr(other_key))
    assert other_key[30:60] not in repr(mixed)
    async with tls_server(tmp_path, certificate) as (url, trusted), pool_for(url, trusted) as pool:
        with pytest.raises(ConfigurationError, match="can't be used"):
            await pool.send("GET", url, certificate=mixed)


def _secret(pair: tuple[str, str]) -> tuple[str, SecretStr]:
    return pair[0], SecretStr(pair[1])
