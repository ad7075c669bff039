"""What every provider is to Castiel: the value types, and the three things a provider module offers.

A provider module ends in one :class:`Provider` value; the registry finds it by ``integrationId``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import SecretStr

from castiel.adapters.http import ApiClient, Dialect, HttpPool
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.domain.fields import EntityDescription
from castiel.domain.messages import Operation
from castiel.domain.webhooks import Delivery, Registration, WebhookRequest
from castiel.errors import CastielError

Cursor = dict[str, Any]
"""An adapter's own incremental position in one entity: JSON, opaque to everybody else."""


@dataclass(frozen=True, slots=True)
class ExternalRecord:
    """A record as the provider gave it. A deleted one may have no ``fields``.

    ``own_write``: the provider marks the last change as made by Castiel. ``made_from``: the key of the push that made
    the record, where it carries one; a person's copy of the record carries it too.
    """

    entity: str
    external_id: str
    fields: Mapping[str, Any]
    modified_at: datetime | None = None
    deleted: bool = False
    version: str | None = None
    own_write: bool = False
    made_from: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a fetch.

    ``cursor``: where to go on once this page is stored. ``last``: nothing follows.
    ``full_pass``: the fetch shows every record there is, so that what it does not show is gone.
    """

    records: Sequence[ExternalRecord]
    cursor: Cursor
    last: bool = False
    full_pass: bool = False


@dataclass(frozen=True, slots=True)
class PushRecord:
    """One record to create or update.

    ``key`` is Castiel's own id for the record (the shard's), for the provider's upsert, idempotency key,
    client-chosen id or marker. ``version`` makes an update conditional where the provider can.
    ``retrying``: an earlier create may have arrived although no answer came, so look for the marker first.
    """

    key: str
    operation: Operation
    fields: Mapping[str, Any]
    external_id: str | None = None
    version: str | None = None
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What became of one pushed or deleted record: an error, or the record's id and new version.

    ``fields``: the record after the write, where the provider says it.
    """

    key: str
    external_id: str | None = None
    version: str | None = None
    error: CastielError | None = None
    fields: Mapping[str, Any] | None = None
    modified_at: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether it took effect."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """Whose account a connection reaches, and how well."""

    account: str
    scopes: tuple[str, ...] = ()
    latency_ms: float = 0.0
    quota_used: float | None = None
    """Share of the provider's quota that is used, 0..1."""


class DeleteMeans(StrEnum):
    """What ``delete`` does at a provider."""

    DELETE = "delete"
    ARCHIVE = "archive"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, for tables and for decisions."""

    entities: tuple[str, ...]
    push_batch: int = 1
    delete_means: DeleteMeans = DeleteMeans.DELETE
    idempotent_create: bool = False
    """A create repeated with the same key makes no second record (upsert, client-chosen id, idempotency key)."""
    sees_deletions: bool = True
    conditional_update: bool = False
    read_only_entities: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Connection settings the provider needs: name → what it is."""


class Adapter(ABC):
    """One connection's way to its provider's records. Made per use, cheap; the HTTP pool behind it is shared.

    Every method raises :class:`~castiel.errors.ProviderError` and nothing else for what the provider did.
    """

    dialect: ClassVar[Dialect]
    """How the provider speaks HTTP."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self.connection = connection
        self.api = api

    @abstractmethod
    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Stream the records changed since ``cursor`` (all with ``None``), oldest change first where possible.

        Raises :class:`~castiel.errors.CursorExpired` when only a full pass can help.
        """

    @abstractmethod
    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """Read records now. What is gone comes as ``deleted``, or is missing from the answer."""

    async def find_made(
        self,
        entity: str,  # noqa: ARG002 - for those that can look
        records: Sequence[PushRecord],  # noqa: ARG002
    ) -> dict[str, ExternalRecord]:
        """What earlier creates of these made, by ``key``, as it is now.

        What can't be looked for without creating is missing: then the create itself, ``retrying``, resolves it.
        """
        return {}

    @abstractmethod
    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create or update, in the provider's own batches; one outcome per record, in the same order."""

    @abstractmethod
    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Delete (or what the provider has instead). What is gone already counts as done."""

    @abstractmethod
    async def describe(self) -> list[EntityDescription]:
        """The entities and fields of this account."""

    @abstractmethod
    async def check(self) -> AccountHealth:
        """Ask the provider who we are."""


class OAuthFlow(ABC):
    """A provider's OAuth, as pure as HTTP allows: it stores nothing."""

    @abstractmethod
    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new token secret from the old one.

        Raises :class:`~castiel.errors.ReauthRequired` when the grant is dead, in the provider's own words for it.
        """

    @abstractmethod
    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        """Where a person goes to authorise a connection."""

    @abstractmethod
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
        """The first token secret, for the code the person came back with."""

    async def revoke(
        self,
        http: HttpPool,  # noqa: ARG002  (the interface's)
        connection: Connection | None,  # noqa: ARG002
        client: OAuthClient,  # noqa: ARG002
        token: TokenSecret,  # noqa: ARG002
    ) -> bool:
        """Withdraw the grant. False where the provider has no way for it: then forgetting it has to do."""
        return False


class WebhookFormat(Protocol):
    """A provider's webhook deliveries. Signatures are verified before any of this runs."""

    signature_preset: str
    """The name of the provider's own signature scheme in ``castiel.domain.signatures``."""

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:
        """The JSON to answer a handshake with, or ``None`` when the delivery is no handshake."""

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`~castiel.errors.InvalidWebhook`."""


SetWebhookSecret = Callable[[Adapter, Registration, SecretStr], Awaitable[bool]]
"""Sets a registration's secret at the provider. False when this registration's can't be set that way."""


@dataclass(frozen=True, slots=True)
class MadeWebhook:
    """A webhook at the provider. ``settings``: what the registration's settings have to name it by, for the other two.

    ``left``: such settings of others, made by attempts that were cut off before they were stored, to be deleted.
    """

    settings: dict[str, Any]
    ends_at: datetime | None = None
    left: tuple[dict[str, Any], ...] = ()


CreateWebhook = Callable[[Adapter, Registration, str, SecretStr], Awaitable[MadeWebhook]]
"""Creates a registration's webhook at the provider, sending to this address and signing with this secret.

Where webhooks end by themselves, a registration that has one gets another: the first goes on until it is deleted."""

DeleteWebhook = Callable[[Adapter, Registration], Awaitable[bool]]
"""Deletes a registration's webhook at the provider. False for one whose settings name none; gone already is done."""


@dataclass(frozen=True, slots=True)
class Provider:
    """All that is one provider's."""

    integration_id: str
    title: str
    adapter: type[Adapter]
    oauth: OAuthFlow
    webhooks: WebhookFormat
    capabilities: Capabilities
    default_schemas: Sequence[Mapping[str, Any]] = ()
    """Conversion schemas (JSON) for its entities, used when a connection names none."""
    rate_limit_per_minute: int = 60
    set_webhook_secret: SetWebhookSecret | None = None
    """Where the provider's API takes the secret that deliveries are signed with: for rotation."""
    create_webhook: CreateWebhook | None = None
    delete_webhook: DeleteWebhook | None = None
    """Where the provider's API makes webhooks; both or neither."""
    webhooks_end: bool = False
    """What ``create_webhook`` makes ends by itself: the scheduler has another made before that."""
