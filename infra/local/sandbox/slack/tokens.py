"""Installations, access tokens and the workspace's settings.

A refresh token stands for one installation's bot or user token; using it ends it.
Source: https://docs.slack.dev/authentication/using-token-rotation
"""

from __future__ import annotations

import secrets
from typing import Any

from infra.local.sandbox.slack.names import ADMIN_ID, BOT_USER_ID, NAME
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

BOT_SCOPE = (
    "channels:history,channels:join,channels:manage,channels:read,chat:write,groups:history,groups:read,"
    "groups:write,metadata.message:read,users:read,users:read.email"
)
USER_SCOPE = f"{BOT_SCOPE},users.profile:write"

DEFAULT_POLICY: JsonObject = {
    "tokenRotation": True,
    "accessTokenSeconds": 43_200,
    "enforceRateLimits": False,
    "denyConsent": False,
    "clients": {"castiel-local": {"secret": "castiel-local-secret"}},
}


class Tokens:
    """Grants by refresh token, sessions by access token, both kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def issue(self, client_id: str, scope: str, kind: str) -> JsonObject:
        """A new access token (`kind` bot or user), with a refresh token where the app rotates them."""
        policy = self.policy()
        rotating = bool(policy["tokenRotation"])
        prefix = "xoxb" if kind == "bot" else "xoxp"
        access = (f"xoxe.{prefix}-1-" if rotating else f"{prefix}-") + secrets.token_urlsafe(40)
        refresh = f"xoxe-1-{secrets.token_urlsafe(40)}" if rotating else None
        seconds = int(policy["accessTokenSeconds"])
        session = {
            "clientId": client_id,
            "scope": scope,
            "kind": kind,
            "user": BOT_USER_ID if kind == "bot" else ADMIN_ID,
            "expiresMs": self._store.clock.now_ms() + seconds * 1000 if rotating else None,
            "revoked": False,
        }
        self._store.put_document(NAME, "session", access, session)
        if refresh:
            self._store.put_document(NAME, "grant", refresh, session)
        return {"access": access, "refresh": refresh, "seconds": seconds if rotating else None}

    def use_refresh_token(self, token: str) -> JsonObject | None:
        """What the refresh token stands for; it is revoked by this. None when it is no longer one."""
        held: JsonObject | None = self._store.document(NAME, "grant", token)
        self._store.remove_document(NAME, "grant", token)
        return held

    def peek(self, refresh_token: str) -> JsonObject | None:
        """What the refresh token stands for."""
        found: JsonObject | None = self._store.document(NAME, "grant", refresh_token)
        return found

    def session(self, access_token: str) -> JsonObject | None:
        """What the access token stands for, ended or not."""
        found: JsonObject | None = self._store.document(NAME, "session", access_token)
        return found

    def expired(self, session: JsonObject) -> bool:
        return session["expiresMs"] is not None and session["expiresMs"] <= self._store.clock.now_ms()

    def expire_sessions(self) -> int:
        """End every access token; refresh tokens stay."""
        sessions = self._store.documents(NAME, "session")
        for token, session in sessions.items():
            self._store.put_document(
                NAME, "session", token, session | {"expiresMs": self._store.clock.now_ms()}
            )
        return len(sessions)

    def revoke(self, refresh_token: str | None) -> int:
        """Withdraw one refresh token's grant, or all, and end all access tokens of the app."""
        grants = self._store.documents(NAME, "grant")
        wanted = list(grants) if refresh_token is None else [t for t in grants if t == refresh_token]
        for token in wanted:
            self._store.remove_document(NAME, "grant", token)
        sessions = self._store.documents(NAME, "session")
        if wanted or refresh_token is None:
            for token, session in sessions.items():
                self._store.put_document(NAME, "session", token, session | {"revoked": True})
        return len(wanted) or (len(sessions) if refresh_token is None else 0)

    def policy(self) -> JsonObject:
        """The workspace's settings; changes over the defaults."""
        return DEFAULT_POLICY | (self._store.document(NAME, "policy", "policy") or {})

    def set_policy(self, changes: JsonObject) -> JsonObject:
        """Raises KeyError for a setting that does not exist."""
        unknown = set(changes) - set(DEFAULT_POLICY)
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        policy = self.policy()
        policy |= changes | {"clients": policy["clients"] | changes.get("clients", {})}
        self._store.put_document(NAME, "policy", "policy", policy)
        return policy
