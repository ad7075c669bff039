"""Providers' token endpoints in memory, told apart by what becomes of a refresh token that was used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from pydantic import SecretStr

from castiel.adapters.base import OAuthFlow, Provider
from castiel.adapters.http import HttpPool
from castiel.adapters.salesforce import PROVIDER as SALESFORCE
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import ReauthRequired
from castiel.ports.clock import Clock
from tests.support.fakes.crash import CrashPoints


class Semantics(StrEnum):
    """What a provider does with the refresh token it was shown."""

    KEEPS = "keeps"
    """Google; Salesforce unless the app rotates."""
    ROTATES_AT_ONCE = "rotates-at-once"
    """GitHub, Slack, Notion; Salesforce where the app rotates: the one shown is dead when the answer leaves."""
    ROTATES_ON_USE = "rotates-on-use"
    """The old one lives until the new one is used (RFC 9700 allows such a grace)."""


class AuthorizationServer(OAuthFlow):
    """One account's grant. ``errors`` are raised first, one per call; ``during`` runs while a call is under way."""

    def __init__(self, semantics: Semantics, clock: Clock, crash: CrashPoints | None = None) -> None:
        self.semantics = semantics
        self._clock = clock
        self._crash = crash or CrashPoints()
        self._issued = 0
        self.live: set[str] = set()
        self._successor: dict[str, str] = {}
        self.calls = 0
        self.errors: list[Exception] = []
        self.during: Callable[[], Awaitable[object]] | None = None
        self.lifetime: timedelta | None = timedelta(hours=1)

    def grant(self) -> TokenSecret:
        """A person consents."""
        return self._answer(self._new_refresh_token())

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        self._crash.reach("before-call")
        self.calls += 1
        if self.during is not None:
            await self.during()
        if self.errors:
            raise self.errors.pop(0)
        shown = token.refresh_token.get_secret_value() if token.refresh_token else ""
        if shown not in self.live:
            raise ReauthRequired("the grant is dead", provider_code="invalid_grant")
        answer = self._answer(self._next(shown))
        self._crash.reach("after-answer")
        return answer

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        return f"https://login.example/authorize?state={state}&code_challenge={code_challenge}"

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
        return self.grant()

    async def revoke(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> bool:
        self.live.discard(token.refresh_token.get_secret_value() if token.refresh_token else "")
        return True

    def _next(self, shown: str) -> str:
        if self.semantics is Semantics.KEEPS:
            return shown
        if self.semantics is Semantics.ROTATES_AT_ONCE:
            self.live.discard(shown)
            return self._new_refresh_token()
        # Using the new one ends the one before it; showing the old one again gives another new one.
        for old, new in list(self._successor.items()):
            if new == shown:
                self.live.discard(old)
                del self._successor[old]
        fresh = self._new_refresh_token()
        self._successor[shown] = fresh
        return fresh

    def _new_refresh_token(self) -> str:
        self._issued += 1
        token = f"made-up-refresh-token-{self._issued:05d}"
        self.live.add(token)
        return token

    def _answer(self, refresh_token: str) -> TokenSecret:
        self._issued += 1
        now = self._clock.now()
        return TokenSecret(
            access_token=SecretStr(f"made-up-access-token-{self._issued:05d}"),
            refresh_token=SecretStr(refresh_token),
            expiry_time=now + self.lifetime if self.lifetime else None,
            issued_at=now,
        )


def provider_with(server: AuthorizationServer, integration_id: str = "salesforce") -> Provider:
    """A provider whose tokens come from there."""
    return replace(SALESFORCE, integration_id=integration_id, oauth=server)
