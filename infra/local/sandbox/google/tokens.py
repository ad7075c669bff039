"""Grants, access tokens and clients of the account."""

from __future__ import annotations

import secrets
from typing import Any

from infra.local.sandbox.google.names import NAME
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

DEFAULT_POLICY: JsonObject = {
    "accessTokenSeconds": 3599,
    "syncTokenSeconds": 7 * 86_400,
    "syncTokenEpoch": 0,
    "syncDelayMs": 0,
    "fullSyncsPerMinute": 0,
    "sessionControl": False,
    "denyConsent": False,
    "serviceAccounts": {},
    "clients": {
        "castiel-local.apps.example.com": {
            "secret": "castiel-local-secret",
            "redirectUris": ["https://castiel.example.com/callback"],
        }
    },
}


class Tokens:
    """Grants by refresh token, access tokens with their expiry, both kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def grant(self, client_id: str, scope: str, refresh_token: str | None = None) -> str:
        """A new grant; returns its refresh token, which never rotates."""
        token = refresh_token or f"1//{secrets.token_urlsafe(48)}"
        self._store.put_document(NAME, "grant", token, {"clientId": client_id, "scope": scope})
        return token

    def grant_of(self, refresh_token: str) -> JsonObject | None:
        found: JsonObject | None = self._store.document(NAME, "grant", refresh_token)
        return found

    def open_session(self, refresh_token: str | None, client_id: str, scope: str) -> str:
        """A new access token."""
        token = f"ya29.{secrets.token_urlsafe(60)}"
        expires = self._store.clock.now_ms() + int(self.policy()["accessTokenSeconds"]) * 1000
        session = {
            "refreshToken": refresh_token,
            "clientId": client_id,
            "scope": scope,
            "expiresMs": expires,
        }
        self._store.put_document(NAME, "session", token, session)
        return token

    def session(self, access_token: str) -> JsonObject | None:
        """What an access token stands for, unless it has ended."""
        found: JsonObject | None = self._store.document(NAME, "session", access_token)
        return found if found and found["expiresMs"] > self._store.clock.now_ms() else None

    def expire_sessions(self) -> int:
        """End every access token; the grants stay."""
        tokens = list(self._store.documents(NAME, "session"))
        for token in tokens:
            self._store.remove_document(NAME, "session", token)
        return len(tokens)

    def revoke(self, token: str) -> bool:
        """Withdraw the grant behind a refresh or access token, with all its access tokens."""
        session = self._store.document(NAME, "session", token)
        refresh_token = session["refreshToken"] if session else token
        if session is None and self.grant_of(refresh_token) is None:
            return False
        self._store.remove_document(NAME, "session", token)
        if refresh_token is not None:
            self._store.remove_document(NAME, "grant", refresh_token)
        for name, other in self._store.documents(NAME, "session").items():
            if refresh_token is not None and other["refreshToken"] == refresh_token:
                self._store.remove_document(NAME, "session", name)
        return True

    def revoke_all(self) -> int:
        return sum(self.revoke(token) for token in list(self._store.documents(NAME, "grant")))

    def policy(self) -> JsonObject:
        """The account's settings; changes over the defaults."""
        return DEFAULT_POLICY | (self._store.document(NAME, "policy", "policy") or {})

    def set_policy(self, changes: JsonObject) -> JsonObject:
        """Raises KeyError for a setting that does not exist."""
        unknown = set(changes) - set(DEFAULT_POLICY)
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        policy = self.policy()
        policy |= changes | {
            name: policy[name] | changes.get(name, {}) for name in ("clients", "serviceAccounts")
        }
        self._store.put_document(NAME, "policy", "policy", policy)
        return policy
