"""A connection whose provider asks who calls: a real TLS server that takes only the certificate it knows."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from castiel.adapters.certified import CertifiedClients
from castiel.adapters.http import HttpPool
from castiel.adapters.mutual_tls import ClientCertificate
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.credentials import CredentialType
from castiel.errors import ConfigurationError, ProviderError
from castiel.services.credentials import CredentialAuthorizer
from castiel.services.credentials.management import NewCredential
from infra.local.session import until
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


@dataclass
class Calls:
    """What a server that keeps its connections sees: how many are open, by caller. It answers once ``gate`` is set."""

    connected: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def keeping_server(folder: Path, known: str, calls: Calls) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """The same, but it leaves it to the caller to end a connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = _caller(writer)
        calls.connected[name] += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await calls.gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name.encode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            calls.connected[name] -= 1
        finally:
            writer.close()

    async with serving(folder, known, answer) as found:
        yield found


@asynccontextmanager
async def tls_server(folder: Path, known: str) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Answers with the common name of whoever calls. Yields its address and what trusts it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        name = _caller(writer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(name), name)
        )
        await writer.drain()
        writer.close()

    async with serving(folder, known, answer) as found:
        yield found


def _caller(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peercert")
    return dict(pair for part in peer["subject"] for pair in part)["commonName"]


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(folder: Path, known: str, answer: Answer) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    certificate, key = identity("server")
    file = folder / "server.pem"
    file.write_text(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=known)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_REQUIRED

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


OWNER = ("acme", "cred-tls")


async def test_the_connections_of_a_replaced_certificate_are_closed(tmp_path: Path) -> None:
    (old, old_key), (new, new_key) = identity("old"), identity("new")
    calls = Calls()
    calls.gate.set()
    async with keeping_server(tmp_path, old + new, calls) as (url, trusted), pool_for(url, trusted) as pool:
        before = ClientCertificate(old, SecretStr(old_key), OWNER)
        for _ in range(2):
            assert (await pool.send("GET", url, certificate=before)).body == b"old"
        neighbour = ClientCertificate(old, SecretStr(old_key), ("other", "cred-tls"))
        await pool.send("GET", url, certificate=neighbour)
        assert calls.connected == {"old": 2}, "one is used again; another tenant has its own"
        after = ClientCertificate(new, SecretStr(new_key), OWNER)
        assert (await pool.send("GET", url, certificate=after)).body == b"new"
        await until(_equals(calls, "old", 1), "the replaced one's connection is closed", every=0.02)
        assert (await pool.send("GET", url, certificate=neighbour)).body == b"old"
        assert calls.connected == {"old": 1, "new": 1}


async def test_a_request_on_a_replaced_certificate_is_not_cut(tmp_path: Path) -> None:
    (old, old_key), (new, new_key) = identity("old"), identity("new")
    calls = Calls()
    async with keeping_server(tmp_path, old + new, calls) as (url, trusted), pool_for(url, trusted) as pool:
        before = ClientCertificate(old, SecretStr(old_key), OWNER)
        after = ClientCertificate(new, SecretStr(new_key), OWNER)
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(pool.send("POST", url, content=b"", certificate=before))
            await until(_equals(calls, "old", 1), "the old one's request has arrived", every=0.02)
            fast = group.create_task(pool.send("POST", url, content=b"", certificate=after))
            await until(_equals(calls, "new", 1), "the new one's request has arrived", every=0.02)
            assert calls.connected["old"] == 1
            calls.gate.set()
        assert (slow.result().body, fast.result().body) == (b"old", b"new")
        await until(
            _equals(calls, "old", 0), "the old one's connection is closed after its answer", every=0.02
        )
        assert calls.connected["new"] == 1


async def test_no_more_certificates_than_so_many_have_connections() -> None:
    certificates = [ClientCertificate(*_secret(identity(f"client-{n}")), ("acme", str(n))) for n in range(3)]
    first, second, third = certificates
    clients = CertifiedClients(lambda context: httpx.AsyncClient(verify=context), most=2)
    async with clients.using(first) as client_of_first, clients.using(second) as client_of_second:
        pass
    async with clients.using(first) as again:
        assert again is client_of_first
    async with clients.using(third) as client_of_third:
        assert (client_of_first.is_closed, client_of_second.is_closed) == (False, True)
        async with clients.using(first), clients.using(second) as anew:
            assert anew is not client_of_second
        assert not client_of_third.is_closed, "it went while it was used"
    assert client_of_third.is_closed
    await clients.aclose()
    assert [each.is_closed for each in (client_of_first, anew)] == [True, True]


async def test_a_certificate_that_cannot_be_used_leaves_the_one_before_it() -> None:
    certificate, key = identity("old")
    good = ClientCertificate(certificate, SecretStr(key), OWNER)
    mixed = ClientCertificate(certificate, SecretStr(identity("stranger")[1]), OWNER)
    clients = CertifiedClients(lambda context: httpx.AsyncClient(verify=context))
    async with clients.using(good) as client:
        pass
    with pytest.raises(ConfigurationError):
        async with clients.using(mixed):
            pass
    async with clients.using(good) as again:
        assert again is client
        assert not client.is_closed
    await clients.aclose()


def _equals(calls: Calls, name: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def as_many() -> bool:
        return calls.connected[name] == count

    return as_many


def _secret(pair: tuple[str, str]) -> tuple[str, SecretStr]:
    return pair[0], SecretStr(pair[1])
