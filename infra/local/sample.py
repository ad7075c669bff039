"""A sample company for local runs: a tenant with one Salesforce connection, its task and its webhook."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from castiel.bootstrap import Services
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.domain.credentials import Credential, OAuthClient, TokenSecret
from castiel.domain.tasks import EntityCheckpoint, SyncMode, SyncTask
from castiel.domain.webhooks import Registration
from castiel.errors import AlreadyExists, NotFound
from infra.local.sandbox.client import SandboxControl
from infra.local.sandbox.notion.ids import CONTACTS_ID

TENANT = "tenant-1"


@dataclass(frozen=True)
class SampleProvider:
    """What the sample company has at one provider of the sandbox. Ids follow from the short name (``sf``)."""

    integration_id: str
    short: str
    entities: Mapping[str, str]
    """Entity → shard type."""
    records: Mapping[str, int]
    """What the sandbox is seeded with."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sync_mode: SyncMode = SyncMode.PULL
    direction: SyncMode = SyncMode.BIDIRECTIONAL
    """Of its entities: with ``pull`` nothing of it is told to others, nor anything told to it."""
    tenant: str = TENANT
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entity → a conversion schema of the company's own; the provider's default schema without one."""

    @property
    def connection_id(self) -> str:
        return f"conn-{self.short}-001"

    @property
    def credential_id(self) -> str:
        return f"cred-{self.short}-001"

    @property
    def task_id(self) -> str:
        return "sync-001" if self.short == "sf" else f"sync-{self.short}-001"

    @property
    def registration_id(self) -> str:
        return "reg-123" if self.short == "sf" else f"reg-{self.short}-001"

    @property
    def webhook_secret_name(self) -> str:
        return f"webhook-{self.registration_id}"

    def schema_id(self, entity: str) -> str | None:
        """The id of the company's own schema for an entity."""
        return f"schema-{self.short}-{entity.lower()}" if entity in self.schemas else None


SALESFORCE = SampleProvider(
    "salesforce", "sf", {"Account": "account", "Contact": "contact"}, {"Account": 100, "Contact": 150}
)
SECOND_TENANT = "tenant-2"
OTHERS = (
    SampleProvider(
        "github",
        "gh",
        {"Issue": "issue", "PullRequest": "pullRequest", "Repository": "repository"},
        {"Issue": 40, "PullRequest": 10, "Repository": 2},
        {"repositories": ["octo-org/engine", "octo-org/website"]},
        direction=SyncMode.PULL,
        tenant=SECOND_TENANT,
    ),
    SampleProvider(
        "google",
        "go",
        {"Contact": "contact", "Event": "event"},
        {"Contact": 60, "Event": 30},
        direction=SyncMode.PULL,
        tenant=SECOND_TENANT,
    ),
    SampleProvider(
        "notion",
        "no",
        {"Page": "page"},
        {"Page": 60},
        {"dataSourceId": CONTACTS_ID},
        direction=SyncMode.PULL,
        tenant=SECOND_TENANT,
    ),
    SampleProvider(
        "slack",
        "sl",
        {"User": "user", "Channel": "channel", "Message": "message"},
        {"User": 30, "Channel": 6, "Message": 60},
        direction=SyncMode.PULL,
        tenant=SECOND_TENANT,
    ),
)

GITHUB = SampleProvider(
    "github",
    "gh",
    {"Repository": "repository", "Issue": "issue", "PullRequest": "pullRequest"},
    {"Repository": 2, "Issue": 80, "PullRequest": 20},
    {
        "repositories": ["octo-org/engine", "octo-org/website"],
        "defaultRepository": "octo-org/engine",
        "appSlug": "castiel-sync",
    },
)

THIRD_TENANT = "tenant-3"
_PAGES_AS_CONTACTS: Mapping[str, Any] = {
    "labelField": "name",
    "mappings": [
        {"kind": "direct", "field": "name", "source": "title"},
        {"kind": "direct", "field": "email", "source": "Email"},
        {"kind": "direct", "field": "phone", "source": "Phone"},
        {"kind": "direct", "field": "title", "source": "Role"},
    ],
}
TRAVEL = (
    SampleProvider(
        "salesforce", "travel-sf", {"Contact": "contact"}, SALESFORCE.records, tenant=THIRD_TENANT
    ),
    SampleProvider("google", "travel-go", {"Contact": "contact"}, {"Contact": 60}, tenant=THIRD_TENANT),
    SampleProvider(
        "notion",
        "travel-no",
        {"Page": "contact"},
        {"Page": 60},
        {"dataSourceId": CONTACTS_ID},
        tenant=THIRD_TENANT,
        schemas={"Page": _PAGES_AS_CONTACTS},
    ),
)
"""A company whose contacts live in three places, each of which is told what changes in the others."""


async def plant(
    services: Services, control: SandboxControl, sample: SampleProvider = SALESFORCE, *, pulled: bool = True
) -> None:
    """Create what is missing: connection, credential and its secrets, task, registration, sandbox records.

    ``pulled``: the connection counts as pulled before, so that nothing made here waits for that; its task still begins
    at the beginning.
    """
    if not any(entity["live"] for entity in (await control.counts()).values()):
        await control.seed(**sample.records)
    await _credential(services, control, sample)
    await _move(services, control, sample)
    await _schemas(services, sample)
    await _once(
        services.stores.connections.create(
            Connection(
                id=sample.connection_id,
                tenant_id=sample.tenant,
                integration_id=sample.integration_id,
                credential_id=sample.credential_id,
                settings={"baseUrl": control.url, **sample.settings},
                entities=[
                    EntitySync(
                        entity=entity,
                        shard_type=shard_type,
                        direction=sample.direction,
                        schema_id=sample.schema_id(entity),
                    )
                    for entity, shard_type in sample.entities.items()
                ],
            )
        )
    )
    await _once(
        services.stores.tasks.create(
            SyncTask(
                id=sample.task_id,
                tenant_id=sample.tenant,
                integration_id=sample.integration_id,
                connection_id=sample.connection_id,
                sync_mode=sample.sync_mode,
                checkpoints={entity: EntityCheckpoint(ended=True) for entity in sample.entities if pulled},
            )
        )
    )
    await _webhook(services, sample)


async def make_due(services: Services, sample: SampleProvider = SALESFORCE) -> None:
    """The task's time has come, also when it ran before."""
    task = await services.stores.tasks.get(sample.tenant, sample.task_id)
    task.next_scheduled = datetime.now(UTC)
    await services.stores.tasks.replace(task)


async def webhook_secret(services: Services, sample: SampleProvider = SALESFORCE) -> str:
    """The secret that the sample registration's deliveries are signed with."""
    return (await services.vault.get(sample.webhook_secret_name)).value


async def _schemas(services: Services, sample: SampleProvider) -> None:
    for entity, schema in sample.schemas.items():
        whole = {
            **schema,
            "id": sample.schema_id(entity),
            "tenantId": sample.tenant,
            "integrationId": sample.integration_id,
            "entity": entity,
            "shardType": sample.entities[entity],
        }
        await services.stores.schemas.put(ConversionSchema.model_validate(whole))


async def _move(services: Services, control: SandboxControl, sample: SampleProvider) -> None:
    """The sandbox may listen elsewhere than in an earlier run: the connection and its token follow."""
    try:
        connection = await services.stores.connections.get(sample.tenant, sample.connection_id)
    except NotFound:
        return
    if connection.settings.get("baseUrl") == control.url:
        return
    connection.settings["baseUrl"] = control.url
    await services.stores.connections.replace(connection)
    credential = await services.stores.credentials.get(sample.tenant, sample.credential_id)
    token = TokenSecret.model_validate_json((await services.vault.get(credential.secret_name)).value)
    if token.instance_url is not None:
        token.instance_url = control.url
        await services.vault.set(credential.secret_name, token.to_json_text())


async def _credential(services: Services, control: SandboxControl, sample: SampleProvider) -> None:
    try:
        await services.stores.credentials.get(sample.tenant, sample.credential_id)
        return
    except NotFound:
        pass
    clients = (await control.policy())["clients"]
    client_id, client = next(iter(clients.items()))
    oauth_client = OAuthClient(client_id=client_id, client_secret=SecretStr(client["secret"]))
    await services.vault.set(f"oauth-client-{sample.integration_id}", oauth_client.to_json_text())
    token = await _granted(control)
    secret = await services.vault.set(f"credential-{sample.credential_id}", token.to_json_text())
    await services.stores.credentials.create(
        Credential(
            id=sample.credential_id,
            tenant_id=sample.tenant,
            integration_id=sample.integration_id,
            connection_id=sample.connection_id,
            secret_name=secret.name,
            secret_version=secret.version,
            expiry_time=token.expiry_time,
        )
    )


async def new_tokens(services: Services, control: SandboxControl, sample: SampleProvider) -> None:
    """After the sandbox's reset, which forgot the tokens: others, in place of those the credential has."""
    credential = await services.stores.credentials.get(sample.tenant, sample.credential_id)
    await services.vault.set(credential.secret_name, (await _granted(control)).to_json_text())
    await services.credentials.refresh_oauth_token(sample.tenant, sample.credential_id)


async def _granted(control: SandboxControl) -> TokenSecret:
    granted = await control.grant()
    return TokenSecret(
        access_token=SecretStr(granted["access_token"]),
        refresh_token=SecretStr(granted["refresh_token"]) if granted.get("refresh_token") else None,
        expiry_time=datetime.now(UTC) + timedelta(seconds=int(granted.get("expires_in") or 7200)),
        instance_url=granted.get("instance_url"),
    )


async def _webhook(services: Services, sample: SampleProvider) -> None:
    provider = services.providers.get(sample.integration_id)
    try:
        await services.vault.get(sample.webhook_secret_name)
    except NotFound:
        await services.vault.set(sample.webhook_secret_name, secrets.token_urlsafe(32))
    await _once(
        services.stores.registrations.create(
            Registration(
                id=sample.registration_id,
                tenant_id=sample.tenant,
                integration_id=sample.integration_id,
                connection_id=sample.connection_id,
                scheme=provider.webhooks.signature_preset,
                secret_names=[sample.webhook_secret_name],
            )
        )
    )


async def _once(creation: Any) -> None:
    try:
        await creation
    except AlreadyExists:
        return
