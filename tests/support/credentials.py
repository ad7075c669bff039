"""SecureCredentialService over fakes: a small world in which processes come and go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.adapters.urls import UrlPolicy
from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential, OAuthClient, TokenSecret
from castiel.services.credentials import SecureCredentialService
from tests.support.fakes.authorization_server import AuthorizationServer, Semantics, provider_with
from tests.support.fakes.coordination import MemoryEvents, MemoryLeases, YieldingClock
from tests.support.fakes.crash import CrashPoints
from tests.support.fakes.documents import MemoryConnections, MemoryCredentials, MemoryRegistrations
from tests.support.fakes.vault import MemoryVault

TENANT, CREDENTIAL = "tenant-1", "cred-1"


@dataclass
class World:
    """What outlives a process: the provider, the stores, the vault, Redis, the clock."""

    semantics: Semantics = Semantics.KEEPS
    clock: YieldingClock = field(default_factory=YieldingClock)
    crash: CrashPoints = field(default_factory=CrashPoints)

    def __post_init__(self) -> None:
        self.server = AuthorizationServer(self.semantics, self.clock, self.crash)
        self.vault = MemoryVault(self.crash)
        self.credentials = MemoryCredentials(self.crash)
        self.connections = MemoryConnections()
        self.registrations = MemoryRegistrations()
        self.leases = MemoryLeases(self.clock)
        self.events = MemoryEvents()
        self.http = HttpPool(UrlPolicy())
        self.providers = ProviderRegistry([provider_with(self.server)])

    def process(self) -> SecureCredentialService:
        """A worker process that has just started."""
        return SecureCredentialService(
            self.credentials,
            self.connections,
            self.registrations,
            self.vault,
            self.leases,
            self.providers,
            self.http,
            self.events,
            self.clock,
        )

    async def plant(
        self, credential_id: str = CREDENTIAL, *, token: TokenSecret | None = None, **fields: object
    ) -> Credential:
        """A connection that a person has authorised."""
        token = token or self.server.grant()
        await self.vault.set("oauth-client-salesforce", OAuthClient(client_id="made-up-app").to_json_text())
        secret = await self.vault.set(f"credential-{credential_id}", token.to_json_text())
        await self.connections.create(
            Connection(
                id=f"conn-{credential_id}",
                tenant_id=TENANT,
                integration_id="salesforce",
                credential_id=credential_id,
            )
        )
        return await self.credentials.create(
            Credential.model_validate(
                {
                    "id": credential_id,
                    "tenant_id": TENANT,
                    "integration_id": "salesforce",
                    "connection_id": f"conn-{credential_id}",
                    "secret_name": secret.name,
                    "secret_version": secret.version,
                    "expiry_time": token.expiry_time,
                    **fields,
                }
            )
        )

    def let_expire(self) -> None:
        """The access token is about to end."""
        self.clock.advance(timedelta(minutes=58).total_seconds())

    async def stored(self, credential_id: str = CREDENTIAL) -> TokenSecret:
        """What the vault holds."""
        return TokenSecret.model_validate_json((await self.vault.get(f"credential-{credential_id}")).value)
