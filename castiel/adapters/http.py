"""One HTTP layer for all providers: pooled, bounded in time and size, and honest about what may have happened."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urljoin

import httpx
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from pydantic import SecretStr

from castiel import telemetry, tracing
from castiel.adapters.certified import CertifiedClients
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.mutual_tls import ClientCertificate
from castiel.adapters.pinned import PinnedBackend, PinnedTransport, Resolve, resolve_by_machine
from castiel.adapters.retry_after import retry_after_seconds
from castiel.adapters.shared import Shared
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.quota import Quota
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    MalformedResponse,
    OutcomeUnknown,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_REDIRECTS = 3
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
Params = Mapping[str, str | int | float | bool | None] | list[tuple[str, str | int | float | bool | None]]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer. Header names are case-insensitive."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON. Raises :class:`MalformedResponse`."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise MalformedResponse("the answer is not JSON", status=self.status) from None


class HttpPool:
    """The connections of one process. ``timeout``: seconds for connect, read and pool; ``total`` for a whole call."""

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        timeout: float = 30.0,
        total: float = 120.0,
        max_connections: int = 100,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        verify: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """``resolve``: the addresses of a host name; the machine's own resolver unless given."""
        self.policy = policy
        self.shared = Shared()
        self._total = total
        self._max_bytes = max_response_bytes
        self._backend = PinnedBackend(policy, resolve or resolve_by_machine)
        self._limits = httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections // 2
        )
        self._options: dict[str, Any] = {
            "timeout": httpx.Timeout(timeout, connect=min(10.0, timeout)),
            "follow_redirects": False,
            "trust_env": False,
            "headers": {"User-Agent": "castiel/1"},
        }
        self._client = self._open(verify or True)
        self._certified = CertifiedClients(self._open, verify)

    def _open(self, verify: ssl.SSLContext | bool) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            **self._options, transport=PinnedTransport(self._backend, self._limits, verify)
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        await self._certified.aclose()

    def _client_for(
        self, certificate: ClientCertificate | None
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return nullcontext(self._client) if certificate is None else self._certified.using(certificate)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        safe: bool | None = None,
        auth: httpx.Auth | None = None,
        certificate: ClientCertificate | None = None,
    ) -> HttpReply:
        """One request, one whole answer, whatever its status.

        ``safe``: the call may be repeated without effect (default: GET and its like). A dropped connection is
        then tried once more; for other calls a lost answer raises :class:`OutcomeUnknown`.
        ``certificate``: what to present when the server asks who calls (mutual TLS).
        Raises :class:`ProviderUnavailable`, :class:`MalformedResponse`, or
        :class:`~castiel.errors.ConfigurationError` for an address that is never called.
        """
        self.policy.check(url)
        with tracing.provider_call(method, url) as span:
            async with self._client_for(certificate) as client:
                reply = await self._send(client, method, url, headers, params, content, form, safe, auth)
            tracing.answered(span, reply.status)
            return reply

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Params | None,
        content: bytes | None,
        form: Mapping[str, str] | None,
        safe: bool | None,
        auth: httpx.Auth | None,
    ) -> HttpReply:
        repeatable = method in SAFE_METHODS if safe is None else safe
        try:
            request = client.build_request(
                method,
                url,
                headers=dict(headers or {}),
                params=params,
                content=content,
                data=dict(form) if form else None,
            )
        except httpx.InvalidURL:
            raise ConfigurationError("baseUrl: not an address") from None
        for last_try in (not repeatable, True):
            try:
                async with asyncio.timeout(self._total):
                    return await self._exchange(client, request, auth)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                failure: ProviderError = ProviderUnavailable(f"no connection ({type(error).__name__})")
            except (httpx.TimeoutException, TimeoutError):
                failure = _lost("no answer in time", repeatable)
                break
            except httpx.DecodingError:
                failure = MalformedResponse("the answer's encoding can't be read")
                break
            except httpx.TransportError as error:
                failure = _lost(f"the connection broke ({type(error).__name__})", repeatable)
            if last_try:
                break
        raise failure from None

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth | None
    ) -> HttpReply:
        for _ in range(MAX_REDIRECTS + 1):
            self.policy.check(str(request.url))
            # Its spans would hold whole URLs (queries name records), and it would tell providers our trace ids.
            with suppress_http_instrumentation():
                response = await client.send(request, stream=True, auth=auth or httpx.USE_CLIENT_DEFAULT)
            try:
                body = await self._read(response)
            finally:
                await response.aclose()
            if not response.has_redirect_location or request.method not in SAFE_METHODS:
                return HttpReply(response.status_code, response.headers, body, str(request.url))
            target = urljoin(str(request.url), response.headers["location"])
            if origin_of(target) != origin_of(str(request.url)):
                raise ProviderRejected("redirected to another host", status=response.status_code)
            request = client.build_request(request.method, target, headers=_end_to_end(request.headers))
        raise ProviderUnavailable("redirected too often")

    async def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > self._max_bytes:
                raise MalformedResponse(f"the answer is larger than {self._max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def _lost(what: str, repeatable: bool) -> ProviderError:
    return ProviderUnavailable(what) if repeatable else OutcomeUnknown(what)


def _end_to_end(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("host", "content-length")}


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a call authenticates with. ``instance_url``: where the provider says this account lives."""

    value: SecretStr
    instance_url: str | None = None
    certificate: ClientCertificate | None = None


class Authorizer(Protocol):
    """Where a call's token comes from."""

    async def current(self) -> AccessToken:
        """The token to use now, refreshed when it is about to expire."""

    async def replace(self, refused: AccessToken) -> AccessToken:
        """Another token, after the provider refused this one."""


class CallGate(Protocol):
    """Asked before each call and told the quota after it: the rate limiter's side of the HTTP layer."""

    async def acquire(self, operation: str) -> None:
        """Wait for, or raise :class:`~castiel.errors.RateLimited` for, one call of this operation."""

    async def observe(self, quota: Quota) -> None:
        """Take note of what the provider said of its quota."""


@runtime_checkable
class OutcomeListener(Protocol):
    """A gate that also wants to hear how each call ended: a circuit breaker."""

    async def failed(self) -> None:
        """The provider did not answer, or could not."""

    async def succeeded(self) -> None:
        """The provider answered, be it to refuse."""


def no_quota(_: HttpReply) -> Quota | None:
    """For a provider that says nothing of its quota but Retry-After."""
    return None


def bearer(token: AccessToken) -> dict[str, str]:
    """``Authorization: Bearer …`` (RFC 6750); none for a connection whose client certificate is all it has."""
    value = token.value.get_secret_value()
    return {"Authorization": f"Bearer {value}"} if value else {}


@dataclass(frozen=True)
class Dialect:
    """How one provider speaks HTTP: its addresses, headers, error bodies and quota headers, as data and functions.

    ``read_error`` is asked for every answer: it returns ``None`` for a success, also where the provider says
    200 to a failure.
    """

    provider: str
    base_url: Callable[[Connection, AccessToken], str]
    read_error: Callable[[HttpReply], ErrorDetail | None]
    rules: Sequence[ErrorRule] = ()
    read_quota: Callable[[HttpReply], Quota | None] = no_quota
    headers: Callable[[Connection], Mapping[str, str]] = field(default=lambda _: {})
    authorize: Callable[[AccessToken], dict[str, str]] = bearer
    trusted_origins: frozenset[str] = frozenset()
    """Further origins of the provider's own that a token may go to, where its APIs have several."""


class ApiClient:
    """One connection's calls to its provider: gate, token, call, quota, error table; one refresh on 401."""

    def __init__(
        self, pool: HttpPool, connection: Connection, dialect: Dialect, authorizer: Authorizer, gate: CallGate
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self._pool = pool
        self._authorizer = authorizer
        self._gate = gate
        self._listener = gate if isinstance(gate, OutcomeListener) else None

    @property
    def shared(self) -> Shared:
        """What this process's adapters remember for one another."""
        return self._pool.shared

    async def call(
        self,
        method: str,
        path: str,
        *,
        operation: str = "fetch",
        params: Params | None = None,
        json_body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool | None = None,
        allow: Sequence[int] = (),
    ) -> HttpReply:
        """One call; ``path`` is relative to the account's base URL, or a URL of the same origin or one of
        the dialect's.

        ``operation``: fetch, create, update or delete, for the rate limiter. ``allow``: statuses that the
        caller reads itself. Raises the :class:`~castiel.errors.ProviderError` that the provider's table names.
        """
        extra = dict(headers or {})
        if json_body is not None:
            content = json.dumps(json_body, separators=(",", ":"), ensure_ascii=False).encode()
            extra.setdefault("Content-Type", "application/json")
        token = await self._authorizer.current()
        for last_try in (False, True):
            await self._gate.acquire(operation)
            try:
                with telemetry.log_context(operation=operation):
                    reply = await self._pool.send(
                        method,
                        self._url(path, token),
                        headers={
                            **self.dialect.headers(self.connection),
                            **self.dialect.authorize(token),
                            **extra,
                        },
                        params=params,
                        content=content,
                        safe=safe,
                        certificate=token.certificate,
                    )
            except ProviderUnavailable:
                await self._report(answered=False)
                raise
            error = await self._judge(reply, allow)
            await self._report(answered=not isinstance(error, ProviderUnavailable))
            if error is None:
                return reply
            if last_try or not isinstance(error, AuthenticationFailed):
                raise error
            token = await self._authorizer.replace(token)
        raise AssertionError("unreachable")

    async def _judge(self, reply: HttpReply, allow: Sequence[int]) -> ProviderError | None:
        quota = self.dialect.read_quota(reply)
        retry_after = retry_after_seconds(reply.headers)
        detail = None if reply.status in allow else self.dialect.read_error(reply)
        error = (
            classify(self.dialect.rules, self.dialect.provider, reply.status, detail, retry_after)
            if detail
            else None
        )
        if error is not None and error.retry_after is not None:
            quota = replace(quota or Quota(), retry_after=error.retry_after)
        if quota is not None:
            await self._gate.observe(quota)
        return error

    async def _report(self, *, answered: bool) -> None:
        if self._listener is not None:
            await (self._listener.succeeded() if answered else self._listener.failed())

    def _url(self, path: str, token: AccessToken) -> str:
        base = self.dialect.base_url(self.connection, token).rstrip("/")
        if path.startswith(("http://", "https://")):
            # The token goes to the account's own origin and the provider's only, whatever link a body contains.
            if origin_of(path) not in (origin_of(base), *self.dialect.trusted_origins):
                raise ProviderRejected("a link led to another host")
            return path
        return f"{base}/{path.lstrip('/')}"
