"""Which addresses Castiel may call for a tenant: https, public, and the sandbox where there is one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from castiel.errors import ConfigurationError


def origin_of(url: str) -> str:
    """``scheme://host:port`` of a URL, in lower case; empty for what can't be read as one."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


@dataclass(frozen=True)
class UrlPolicy:
    """Refuses what a tenant's settings must never reach (server-side request forgery).

    ``trusted_origins``: the local sandbox; empty in the cloud.
    """

    trusted_origins: Collection[str] = field(default_factory=frozenset)

    def check(self, url: str) -> None:
        """Raises :class:`ConfigurationError` unless the URL is https to a public host, or trusted."""
        origin = origin_of(url)
        if not origin:
            raise ConfigurationError("baseUrl: not an address")
        if origin in self.trusted_origins:
            return
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise ConfigurationError("baseUrl: only https addresses are called")
        if parts.username or parts.password:
            raise ConfigurationError("baseUrl: no user name or password in an address")
        host = parts.hostname or ""
        if not host or host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
            raise ConfigurationError("baseUrl: not a public host")
        if _is_private_literal(host):
            raise ConfigurationError("baseUrl: a private address is never called")

    def check_resolved(self, url: str, address: str) -> None:
        """The same for the address that the host name turned out to have."""
        if origin_of(url) not in self.trusted_origins and _is_private_literal(address):
            raise ConfigurationError("baseUrl: the host name leads to a private address")


def _is_private_literal(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:  # forms such as 127.1 or 2130706433, which the resolver takes for addresses
            address = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global
