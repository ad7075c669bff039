"""Grants, access tokens and clients of the workspace, and its settings."""

from __future__ import annotations

import secrets
from typing import Any

from infra.local.sandbox.notion.ids import NAME
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

DEFAULT_POLICY: JsonObject = {
    "issueRefreshTokens": True,
    "rotateRefreshTokens": True,
    "accessTokenSeconds": None,
    "requestsPerMinute": None,
    "cursorSeconds": 3600,
    "queryResultLimit": 10_000,
    "hiddenProperties": [],
    "denyConsent": False,
    "clients": {"castiel-local": {"secret": "castiel-local-secret"}},
}


class Tokens:
    """Grants by refresh token, sessions by access token, both kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def grant(self, client_id: str, refresh_token: str | None = None) -> JsonObject:
        """A new grant with its first access token: access_token, and refresh_token or None."""
        token = refresh_token
        if token is None and self.policy()["issueRefreshTokens"]:
            token = f"nrt_{secrets.token_urlsafe(32)}"
        if token is not None:
            self._store.put_document(NAME, "grant", token, {"clientId": client_id})
        return {"access_token": self._open(client_id, token), "refresh_token": token}

    def refresh(self, old: str, client_id: str) -> JsonObject | None:
        """Another access token and, with rotation, another refresh token; the old ones are spent."""
        held = self._store.document(NAME, "grant", old)
        if held is None or held["clientId"] != client_id:
            return None
        with self._store.transaction():
            self._end_sessions(old)
            if not self.policy()["rotateRefreshTokens"]:
                return {"access_token": self._open(client_id, old), "refresh_token": old}
            self._store.remove_document(NAME, "grant", old)
            return self.grant(client_id)

    def session(self, access_token: str) -> JsonObject | None:
        """The session, unless it has ended."""
        found: JsonObject | None = self._store.document(NAME, "session", access_token)
        if found is None or (found["expiresMs"] and found["expiresMs"] <= self._store.clock.now_ms()):
            return None
        return found

    def expire_sessions(self) -> int:
        """End every session; the grants stay."""
        tokens = list(self._store.documents(NAME, "session"))
        for token in tokens:
            self._store.remove_document(NAME, "session", token)
        return len(tokens)

    def revoke(self, token: str) -> bool:
        """Withdraw a grant by its refresh token, or end a session by its access token."""
        if self._store.document(NAME, "session", token) is not None:
            self._store.remove_document(NAME, "session", token)
            return True
        if self._store.document(NAME, "grant", token) is None:
            return False
        self._store.remove_document(NAME, "grant", token)
        self._end_sessions(token)
        return True

    def revoke_all(self) -> int:
        return sum(self.revoke(token) for token in list(self._store.documents(NAME, "grant")))

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

    def _open(self, client_id: str, refresh_token: str | None) -> str:
        seconds = self.policy()["accessTokenSeconds"]
        now = self._store.clock.now_ms()
        session = {
            "clientId": client_id,
            "refreshToken": refresh_token,
            "issuedMs": now,
            "expiresMs": now + int(seconds) * 1000 if seconds else None,
        }
        token = f"ntn_{secrets.token_urlsafe(32)}"
        self._store.put_document(NAME, "session", token, session)
        return token

    def _end_sessions(self, refresh_token: str) -> None:
        for token, session in self._store.documents(NAME, "session").items():
            if session["refreshToken"] == refresh_token:
                self._store.remove_document(NAME, "session", token)
