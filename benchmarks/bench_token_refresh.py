"""How fast tokens are refreshed, and how much of that is Castiel's own time: over the local stack.

``python -m benchmarks.bench_token_refresh`` prints a table and one line of JSON. The provider's time is its token
endpoint's, waiting for the answer included; ``own`` is the rest: lease, journal, vault, metadata. The emulators
share the machine with the measured process, so their time is in ``own``.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from castiel.adapters.base import OAuthFlow
from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry, load_providers
from castiel.bootstrap import Services, build
from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential, OAuthClient, TokenSecret
from castiel.functions.token_refresher import TokenRefresher
from castiel.ports.clock import SystemClock
from castiel.ports.messaging import Event
from castiel.ports.secrets import SecretVault, StoredSecret
from castiel.services.credentials import SecureCredentialService
from castiel.settings import load_settings
from infra.local.sandbox.client import SandboxControl
from infra.local.stack import LocalStack

TENANT = "bench"
ONE_BY_ONE = 60
TOGETHER = 300


class TimedOAuth(OAuthFlow):
    """A provider's OAuth with a stopwatch."""

    def __init__(self, inner: OAuthFlow) -> None:
        self._inner = inner
        self.seconds: list[float] = []

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        started = time.perf_counter()
        try:
            return await self._inner.refresh(http, connection, client, token)
        finally:
            self.seconds.append(time.perf_counter() - started)

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        return self._inner.authorization_url(
            connection, client, redirect_uri=redirect_uri, state=state, code_challenge=code_challenge
        )

    async def exchange(
        self,
        http: HttpPool,
        connection: Connection,
        client: OAuthClient,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str,
    ) -> TokenSecret:
        return await self._inner.exchange(
            http, connection, client, code=code, redirect_uri=redirect_uri, code_verifier=code_verifier
        )


@dataclass
class CountedVault:
    """The vault, counting what it is asked."""

    inner: SecretVault
    calls: int = 0

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        self.calls += 1
        return await self.inner.get(name, version)

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        self.calls += 1
        return await self.inner.set(name, value, tags=tags)

    async def delete(self, name: str) -> None:
        self.calls += 1
        await self.inner.delete(name)

    async def versions(self, name: str) -> list[str]:
        self.calls += 1
        return await self.inner.versions(name)

    async def disable(self, name: str, version: str) -> None:
        self.calls += 1
        await self.inner.disable(name, version)


class NoEvents:
    """Nobody listens."""

    async def publish(self, event: Event) -> None:
        raise AssertionError(f"a refresh failed: {event.type}")


@dataclass
class Bench:
    """The app's services over the stack, the credential service among them with stopwatch and counter."""

    services: Services
    credentials: SecureCredentialService
    vault: CountedVault
    oauth: TimedOAuth
    org: SandboxControl


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A stack of its own, in memory."""
    stack = LocalStack()
    await asyncio.to_thread(stack.start_all)
    services: Services | None = None
    try:
        os.environ.update(stack.environment())
        salesforce = load_providers().get("salesforce")
        oauth = TimedOAuth(salesforce.oauth)
        providers = ProviderRegistry([replace(salesforce, oauth=oauth)])
        services = build(load_settings(), providers=providers)
        stores, vault = services.stores, CountedVault(services.vault)
        credentials = SecureCredentialService(
            stores.credentials,
            stores.connections,
            stores.registrations,
            vault,
            services.leases,
            providers,
            services.http,
            NoEvents(),
            SystemClock(),
        )
        async with SandboxControl(services.settings.castiel_sandbox_url or "") as org:
            yield Bench(services, credentials, vault, oauth, org)
    finally:
        if services is not None:
            await services.aclose()
        await asyncio.to_thread(stack.stop_all)


async def plant(bench: Bench, count: int) -> list[Credential]:
    """Authorised connections whose tokens have just expired."""
    client_id, client = next(iter((await bench.org.policy())["clients"].items()))
    app = OAuthClient(client_id=client_id, client_secret=SecretStr(client["secret"]))
    await bench.services.vault.set("oauth-client-salesforce", app.to_json_text())
    expired = datetime.now(UTC) - timedelta(minutes=1)

    async def one(number: int) -> Credential:
        granted = await bench.org.grant()
        token = TokenSecret(
            access_token=SecretStr(granted["access_token"]),
            refresh_token=SecretStr(granted["refresh_token"]),
            expiry_time=expired,
            instance_url=granted["instance_url"],
        )
        secret = await bench.services.vault.set(f"bench-{number}", token.to_json_text())
        await bench.services.stores.connections.create(
            Connection(
                id=f"conn-{number}",
                tenant_id=TENANT,
                integration_id="salesforce",
                credential_id=f"cred-{number}",
                settings={"baseUrl": bench.org.url},
            )
        )
        return await bench.services.stores.credentials.create(
            Credential(
                id=f"cred-{number}",
                tenant_id=TENANT,
                integration_id="salesforce",
                connection_id=f"conn-{number}",
                secret_name=secret.name,
                secret_version=secret.version,
                expiry_time=expired,
            )
        )

    planted: list[Credential] = []
    for start in range(0, count, 20):
        planted += await asyncio.gather(*(one(n) for n in range(start, min(start + 20, count))))
    return planted


async def one_by_one(bench: Bench, credentials: list[Credential]) -> dict[str, float]:
    """Milliseconds of single refreshes, the provider's share apart."""
    whole, own = [], []
    warm, *measured = credentials
    await bench.credentials.refresh_due(warm)
    bench.vault.calls = 0
    for credential in measured:
        bench.oauth.seconds.clear()
        started = time.perf_counter()
        await bench.credentials.refresh_due(credential)
        took = time.perf_counter() - started
        whole.append(took * 1000)
        own.append((took - sum(bench.oauth.seconds)) * 1000)
    return {
        "p50_ms": statistics.median(whole),
        "p95_ms": statistics.quantiles(whole, n=20)[18],
        "own_p50_ms": statistics.median(own),
        "provider_p50_ms": statistics.median(a - b for a, b in zip(whole, own, strict=True)),
        "vault_calls_per_refresh": bench.vault.calls / len(measured),
    }


def refresher_of(bench: Bench, *, interval: timedelta, time_budget_seconds: float) -> TokenRefresher:
    """The function as it is, at no other pace than the machine's."""
    services = bench.services
    return TokenRefresher(
        services.stores.credentials,
        bench.credentials,
        services.stores.refresh_audit,
        services.secret_rotation,
        services.inbound_queue,
        SystemClock(),
        threshold=timedelta(0),
        interval=interval,
        keep_alive=timedelta(days=7),
        max_retries=3,
        time_budget_seconds=time_budget_seconds,
        per_second=10_000,
        provider_per_second=10_000,
    )


async def together(bench: Bench) -> dict[str, float]:
    """A run of TokenRefresher over many."""
    refresher = refresher_of(bench, interval=timedelta(0), time_budget_seconds=480)
    started = time.perf_counter()
    audit = await refresher.run()
    seconds = time.perf_counter() - started
    if audit.failed:
        raise RuntimeError(f"{audit.failed} refreshes failed: {audit.results[0]}")
    return {"refreshes_per_s": audit.successful / seconds, "refreshed_together": audit.successful}


async def measure() -> dict[str, float]:
    """Both measurements on one stack."""
    async with running() as bench:
        credentials = await plant(bench, ONE_BY_ONE + TOGETHER)
        single = await one_by_one(bench, credentials[:ONE_BY_ONE])
        return {**await together(bench), **single}


def run() -> dict[str, float]:
    """The numbers, rounded."""
    return {name: round(value, 2) for name, value in asyncio.run(measure()).items()}


def main() -> None:
    """Print the table, then the JSON line."""
    result = run()
    for name, value in result.items():
        print(f"{name:<26}{value:>10}")
    print(json.dumps({"token_refresh": result}))


if __name__ == "__main__":
    main()
