"""The public keys of token issuers: fetched, remembered, fetched again when a token names a new one.

https://datatracker.ietf.org/doc/html/rfc7517 (JWK sets); Google's keys change about every week and its answer says
for how long they may be kept: https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from castiel.adapters.http import HttpPool, HttpReply
from castiel.domain.signatures import PublicKey, parse_jwks
from castiel.errors import CastielError, MalformedResponse, ProviderUnavailable
from castiel.ports.clock import Clock

logger = logging.getLogger(__name__)

KEY_SETS: Mapping[str, str] = MappingProxyType(
    {
        "https://accounts.google.com": "https://www.googleapis.com/oauth2/v3/certs",
        "accounts.google.com": "https://www.googleapis.com/oauth2/v3/certs",
    }
)
"""Where known issuers publish their keys (``jwks_uri`` of their discovery document)."""

FLOOR_SECONDS = 60.0
"""The least time between two fetches of one set, whatever tokens name: a forged key id must not make us call."""
FLOOR_WITHOUT_KEYS_SECONDS = 5.0
WAIT_SECONDS = 5.0
"""How long somebody who needs the keys waits for a fetch, which goes on without them."""
DEFAULT_SECONDS = 3_600.0
SHORTEST_SECONDS, LONGEST_SECONDS = 300.0, 86_400.0
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])")


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: tuple[PublicKey, ...]
    fresh_until: float


class KeySets:
    """Key sets by address. While a key server is down, the keys that were read before stay good."""

    def __init__(self, http: HttpPool, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._sets: dict[str, _KeySet] = {}
        self._tried_at: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[bool]] = {}

    async def keys(self, url: str) -> tuple[PublicKey, ...]:
        """The keys, fetched if they were not yet; old ones are renewed while they are still used.

        Raises :class:`ProviderUnavailable` while there are none.
        """
        known = self._sets.get(url)
        if known is None:
            await self.refresh(url)
            known = self._sets.get(url)
        elif known.fresh_until <= self._clock.monotonic():
            self._begin(url)
        if known is None:
            raise ProviderUnavailable("the key server did not answer")
        return known.keys

    async def refresh(self, url: str) -> bool:
        """Fetch the keys again, unless that was done within the floor. Returns whether newly read keys are there."""
        task = self._begin(url)
        if task is None:
            return False
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            return False

    async def settled(self) -> None:
        """Wait for the fetches that are under way: for the end of a command or a test."""
        await asyncio.gather(*self._running.values())

    def _begin(self, url: str) -> asyncio.Task[bool] | None:
        """The fetch that is under way, or a new one; ``None`` when the last one was a moment ago."""
        if url in self._running:
            return self._running[url]
        now = self._clock.monotonic()
        floor = FLOOR_SECONDS if url in self._sets else FLOOR_WITHOUT_KEYS_SECONDS
        if now - self._tried_at.get(url, -floor) < floor:
            return None
        self._tried_at[url] = now
        task = asyncio.create_task(self._try(url))
        self._running[url] = task
        task.add_done_callback(lambda _: self._running.pop(url, None))
        return task

    async def _try(self, url: str) -> bool:
        try:
            await self._fetch(url)
        except CastielError as error:
            logger.warning("key set not fetched: %s", error, extra={"error": error.code})
            return False
        return True

    async def _fetch(self, url: str) -> None:
        reply = await self._http.send("GET", url, headers={"Accept": "application/json"})
        if reply.status != 200:
            raise ProviderUnavailable(f"the key server answered {reply.status}", status=reply.status)
        try:
            keys = parse_jwks(reply.json())
        except (ValueError, AttributeError):
            raise MalformedResponse("the key server's answer is no key set") from None
        if not keys:
            raise MalformedResponse("the key set holds no signing key")
        self._sets[url] = _KeySet(keys, self._clock.monotonic() + _life(reply))


def _life(reply: HttpReply) -> float:
    found = _MAX_AGE.search(reply.headers.get("cache-control", "").lower())
    seconds = float(found[1]) if found else DEFAULT_SECONDS
    return min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
