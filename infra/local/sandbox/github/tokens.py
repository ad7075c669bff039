"""Grants, tokens and apps: what a GitHub token stands for.

User tokens live eight hours and are refreshed by a token that lives six months; using it ends it and the old pair.
Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
"""

from __future__ import annotations

import secrets
from typing import Any

from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
NAME = "github"
USER, APP_SLUG, INSTALLATION_ID = "octo-castiel", "castiel-sync", 957387

DEFAULT_POLICY: JsonObject = {
    "expireUserTokens": True,
    "accessTokenSeconds": 28_800,
    "refreshTokenSeconds": 15_897_600,
    "installationTokenSeconds": 3_600,
    "rateLimit": 5_000,
    "requestsUsed": 0,
    "contentPerMinute": 80,
    "linkStyle": "cursor",
    "denyConsent": False,
    "installationSuspended": False,
    "clients": {"castiel-local": {"secret": "castiel-local-secret", "publicKey": None}},
}


class Tokens:
    """Grants by refresh token, sessions by access token, both kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def grant(self, client_id: str, scope: str, refresh_token: str | None = None) -> JsonObject:
        """A new pair for the user, as the token endpoint answers it."""
        policy = self.policy()
        if not policy["expireUserTokens"]:
            return {
                "access_token": self._open(client_id, scope, None),
                "scope": scope,
                "token_type": "bearer",
            }
        refresh = refresh_token or f"ghr_{secrets.token_hex(38)}"
        expires = self._now() + int(policy["refreshTokenSeconds"]) * 1000
        held = {"clientId": client_id, "scope": scope, "expiresMs": expires}
        self._store.put_document(NAME, "grant", refresh, held)
        return {
            "access_token": self._open(client_id, scope, refresh),
            "expires_in": int(policy["accessTokenSeconds"]),
            "refresh_token": refresh,
            "refresh_token_expires_in": int(policy["refreshTokenSeconds"]),
            "scope": scope,
            "token_type": "bearer",
        }

    def refresh(self, client_id: str, refresh_token: str) -> JsonObject | None:
        """The next pair, or None for a refresh token that was used, has expired or never was."""
        held = self._store.document(NAME, "grant", refresh_token)
        if held is None or held["clientId"] != client_id or held["expiresMs"] <= self._now():
            return None
        with self._store.transaction():
            self.revoke(refresh_token)
            return self.grant(client_id, held["scope"])

    def open_installation(self, client_id: str) -> tuple[str, int]:
        """A token of the app's installation, and when it expires (ms)."""
        expires = self._now() + int(self.policy()["installationTokenSeconds"]) * 1000
        return self._put(
            "ghs_", {"kind": "installation", "clientId": client_id, "expiresMs": expires}
        ), expires

    def session(self, access_token: str) -> JsonObject | None:
        """The session, unless it has ended."""
        found: JsonObject | None = self._store.document(NAME, "session", access_token)
        ended = found is None or (found["expiresMs"] is not None and found["expiresMs"] <= self._now())
        return None if ended else found

    def expire_sessions(self) -> int:
        tokens = list(self._store.documents(NAME, "session"))
        for token in tokens:
            self._store.remove_document(NAME, "session", token)
        return len(tokens)

    def revoke(self, refresh_token: str) -> bool:
        """Withdraw a grant and end its sessions; False when there is none."""
        if self._store.document(NAME, "grant", refresh_token) is None:
            return False
        self._store.remove_document(NAME, "grant", refresh_token)
        for token, session in self._store.documents(NAME, "session").items():
            if session.get("refreshToken") == refresh_token:
                self._store.remove_document(NAME, "session", token)
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
        policy |= changes | {"clients": policy["clients"] | changes.get("clients", {})}
        self._store.put_document(NAME, "policy", "policy", policy)
        return policy

    def _open(self, client_id: str, scope: str, refresh: str | None) -> str:
        lives = int(self.policy()["accessTokenSeconds"]) * 1000
        session = {"kind": "user", "clientId": client_id, "scope": scope, "refreshToken": refresh}
        return self._put("ghu_", session | {"expiresMs": self._now() + lives if refresh else None})

    def _put(self, prefix: str, session: JsonObject) -> str:
        token = prefix + secrets.token_hex(18)
        self._store.put_document(NAME, "session", token, session)
        return token

    def _now(self) -> int:
        return self._store.clock.now_ms()
