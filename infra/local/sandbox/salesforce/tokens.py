"""Grants, sessions and clients of the org: what an OAuth token stands for."""

from __future__ import annotations

import secrets
from typing import Any

from infra.local.sandbox.salesforce.ids import ORG_ID_15, USER_ID
from infra.local.sandbox.salesforce.rows import NAME
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

DEFAULT_POLICY: JsonObject = {
    "rotateRefreshTokens": False,
    "accessTokenSeconds": 7200,
    "dailyApiLimit": 100_000,
    "apiRequestsUsed": 0,
    "locatorSeconds": 172_800,
    "maxLocators": 10,
    "uniqueExternalIds": True,
    "denyConsent": False,
    "clients": {"castiel-local": {"secret": "castiel-local-secret", "publicKey": None}},
}
DEFAULT_SCOPE = "api refresh_token"


class Tokens:
    """Grants by refresh token, sessions by access token, both kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def grant(self, client_id: str, scope: str, refresh_token: str | None = None) -> str:
        """A new grant of the org's user to a client; returns its refresh token."""
        token = refresh_token or f"5Aep{secrets.token_urlsafe(48)}"
        self._store.put_document(
            NAME, "grant", token, {"clientId": client_id, "scope": scope, "user": USER_ID}
        )
        return token

    def grant_of(self, refresh_token: str) -> JsonObject | None:
        found: JsonObject | None = self._store.document(NAME, "grant", refresh_token)
        return found

    def rotate(self, old: str) -> str:
        """A new refresh token in place of the old one, whose sessions end with it."""
        held = self._store.document(NAME, "grant", old)
        with self._store.transaction():
            self.revoke(old)
            return self.grant(held["clientId"], held["scope"])

    def open_session(self, refresh_token: str | None, client_id: str, scope: str, seconds: int) -> str:
        """A new access token."""
        token = f"{ORG_ID_15}!{secrets.token_urlsafe(60)}"
        now = self._store.clock.now_ms()
        session = {
            "refreshToken": refresh_token,
            "clientId": client_id,
            "scope": scope,
            "user": USER_ID,
            "issuedMs": now,
            "expiresMs": now + seconds * 1000,
        }
        self._store.put_document(NAME, "session", token, session)
        return token

    def session(self, access_token: str) -> JsonObject | None:
        """The session, unless it has ended."""
        found: JsonObject | None = self._store.document(NAME, "session", access_token)
        return found if found and found["expiresMs"] > self._store.clock.now_ms() else None

    def end_session(self, access_token: str) -> None:
        self._store.remove_document(NAME, "session", access_token)

    def expire_sessions(self) -> int:
        """End every session; the grants stay."""
        tokens = list(self._store.documents(NAME, "session"))
        for token in tokens:
            self.end_session(token)
        return len(tokens)

    def revoke(self, refresh_token: str) -> bool:
        """Withdraw a grant and end its sessions; False when there is none."""
        if self.grant_of(refresh_token) is None:
            return False
        self._store.remove_document(NAME, "grant", refresh_token)
        for token, session in self._store.documents(NAME, "session").items():
            if session["refreshToken"] == refresh_token:
                self.end_session(token)
        return True

    def revoke_all(self) -> int:
        return sum(self.revoke(token) for token in list(self._store.documents(NAME, "grant")))

    def policy(self) -> JsonObject:
        """The org's settings; changes over the defaults."""
        return DEFAULT_POLICY | (self._store.document(NAME, "policy", "policy") or {})

    def set_policy(self, changes: JsonObject) -> JsonObject:
        """Raises KeyError for a setting that does not exist."""
        unknown = set(changes) - set(DEFAULT_POLICY)
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        policy = self.policy()
        clients = policy["clients"] | changes.get("clients", {})
        policy |= changes | {"clients": clients}
        self._store.put_document(NAME, "policy", "policy", policy)
        return policy
