"""HTTP clients that present a certificate: one for each certificate in use, closed once another has taken its place."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from castiel.adapters.mutual_tls import ClientCertificate, client_context

MOST_KEPT = 200
"""Certificates of as many credentials; each client keeps a private key and, while it is used, connections."""


@dataclass(eq=False, slots=True)
class _Kept:
    certificate: ClientCertificate
    client: httpx.AsyncClient
    requests: int = 0
    dropped: bool = False


class CertifiedClients:
    """Connections that present a certificate are nobody else's; nor do they outlive it.

    A credential whose certificate was rotated has one client, the new certificate's. Beyond ``most``, the longest unused
    goes. A client that is dropped is closed by the last of the requests that are under way on it.
    """

    def __init__(
        self,
        open_client: Callable[[ssl.SSLContext], httpx.AsyncClient],
        trusted: ssl.SSLContext | None = None,
        most: int = MOST_KEPT,
    ) -> None:
        self._open = open_client
        self._trusted = trusted
        self._most = most
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    @asynccontextmanager
    async def using(self, certificate: ClientCertificate) -> AsyncIterator[httpx.AsyncClient]:
        """The client that presents this certificate, for one request.

        Raises :class:`~castiel.errors.ConfigurationError` for a certificate that can't be used; the one before it stays.
        """
        key = certificate.owner or certificate
        kept = self._kept.get(key)
        replaced = kept if kept is not None and kept.certificate != certificate else None
        if kept is None or replaced is not None:
            kept = _Kept(certificate, self._open(client_context(certificate, self._trusted)))
            self._kept[key] = kept
        self._kept.move_to_end(key)
        kept.requests += 1
        try:
            for dropped in (*([replaced] if replaced else ()), *self._too_many()):
                await _drop(dropped)
            yield kept.client
        finally:
            kept.requests -= 1
            if kept.dropped:
                await _drop(kept)

    def _too_many(self) -> Iterator[_Kept]:
        while len(self._kept) > self._most:
            yield self._kept.popitem(last=False)[1]

    async def aclose(self) -> None:
        """Close all connections."""
        while self._kept:
            await self._kept.popitem()[1].client.aclose()


async def _drop(kept: _Kept) -> None:
    kept.dropped = True
    if not kept.requests:
        await kept.client.aclose()
