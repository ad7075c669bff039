"""Connections go to the very address that was checked, so that a name can't lead elsewhere in between."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from castiel.adapters.urls import UrlPolicy, origin_of

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name and port. Raises OSError."""


async def resolve_by_machine(host: str, port: int) -> Sequence[str]:
    """What the machine's own resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, checks every address against the policy, and connects to one of those: not a byte goes before.

    TLS and the Host header keep the name. Raises :class:`~castiel.errors.ConfigurationError` for a name that leads
    to a private address.
    """

    def __init__(self, policy: UrlPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (the interface's)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See :class:`httpcore.AsyncNetworkBackend`. ``timeout``: seconds for the look-up and for each address."""
        failure: Exception = httpcore.ConnectError("the host's name has no address")
        for address in await self._addresses(host, port, timeout):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """See :class:`httpcore.AsyncNetworkBackend`."""
        await self._network.sleep(seconds)

    async def _addresses(self, host: str, port: int, seconds: float | None) -> Sequence[str]:
        netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        origins = {origin_of(f"{scheme}://{netloc}") for scheme in ("http", "https")}
        if not origins.isdisjoint(self._policy.trusted_origins):
            return [host]
        try:
            async with asyncio.timeout(seconds):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the host's name took too long") from None
        except OSError:
            raise httpcore.ConnectError("the host's name can't be resolved") from None
        for address in found:
            self._policy.check_resolved(f"https://{netloc}", address)
        return list(dict.fromkeys(found))


class PinnedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool that connects by :class:`PinnedBackend`."""

    def __init__(
        self, backend: PinnedBackend, limits: httpx.Limits, verify: ssl.SSLContext | bool = True
    ) -> None:
        super().__init__(verify=verify, trust_env=False, limits=limits)
        # httpx takes no network backend: its pool, not yet used, gives way to one that does.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
        )
