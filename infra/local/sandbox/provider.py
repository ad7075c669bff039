"""What a provider module gives the sandbox. See README.md for how to add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]


class ControlError(Exception):
    """A control call that makes no sense: answered 400 (or `status`) with the text."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Provider(Protocol):
    """One provider: its HTTP surface, and what the control API needs to steer it."""

    name: str
    """The path prefix, and the provider's name in the control API."""
    root_segments: tuple[str, ...]
    """First path segments also served without the prefix, for clients that keep only the host of a base URL."""
    store: Store
    faults: Faults

    def routes(self) -> list[web.RouteDef]:
        """Routes below the prefix. Handlers answer the provider's own errors as responses, never as raises."""
        ...

    def error_response(self, rule: FaultRule) -> web.Response:
        """An ordered error in the provider's own shape (rule.status is set), without Retry-After."""
        ...

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers the provider sends on every answer (quota, version …)."""
        ...

    def reset(self) -> None:
        """Forget everything: what the store holds (`store.forget(name)`) and what is kept in memory."""
        ...

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        """Store sample records; the same arguments on the same day make the same data. Returns what was made."""
        ...

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        """A record as plain JSON, deleted ones included (`deleted: true`), or None."""
        ...

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        """Records as plain JSON in order of their last change."""
        ...

    def create_record(self, entity: str, fields: JsonObject) -> str:
        """Create out of band, as a user in the provider's own pages would. Returns the id. Raises ControlError."""
        ...

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        """Edit out of band. Raises ControlError."""
        ...

    def delete_record(self, entity: str, record_id: str) -> None:
        """Delete out of band. Raises ControlError."""
        ...

    def policy(self) -> JsonObject:
        """Settings of the simulated account (token lifetime, rotation, quota …)."""
        ...

    def set_policy(self, changes: JsonObject) -> JsonObject:
        """Change some settings; returns all. Raises ControlError for an unknown one."""
        ...

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:
        """Issue tokens as a finished consent would; the provider's own token response."""
        ...

    def expire_access_tokens(self) -> int:
        """End every access token now; returns how many."""
        ...

    def revoke(self, token: str | None) -> int:
        """Withdraw one refresh token's grant, or every grant; returns how many."""
        ...

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        """The body and headers of an outgoing webhook for `options`. Raises ControlError."""
        ...
