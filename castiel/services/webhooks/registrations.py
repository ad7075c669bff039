"""Registrations by id, as the receiver asks for them: cached, unknown ids too, and at little cost."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Generic, TypeVar

from castiel.domain.webhooks import Registration
from castiel.errors import NotFound, RateLimited, StoreUnavailable
from castiel.ports.clock import Clock
from castiel.ports.stores import RegistrationStore
from castiel.services.flights import Flights

logger = logging.getLogger(__name__)

KNOWN_SECONDS = 30.0
UNKNOWN_SECONDS = 5.0
STILL_UNKNOWN_SECONDS = 60.0
"""Of an id that was looked up before: somebody goes on sending to a registration that was deleted, which is no guess."""
STALE_SECONDS = 600.0
"""How long a registration that was read before is used while the store does not answer."""
KNOWN_ENTRIES = 10_000
UNKNOWN_ENTRIES = 10_000
SOURCES = 10_000
MISSES_PER_SOURCE = 120
"""Per minute. Ids that one address guesses beyond this are not looked up any more."""

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A bounded memory: what was not used for longest goes first."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What is remembered."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key: K, value: V) -> None:
        """Remember."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._entries:
            self._items.popitem(last=False)

    def pop(self, key: K) -> None:
        """Forget."""
        self._items.pop(key, None)

    def __len__(self) -> int:
        return len(self._items)


class RegistrationCache:
    """One read of the store per id and :data:`KNOWN_SECONDS`, however many ask at once."""

    def __init__(self, registrations: RegistrationStore, clock: Clock) -> None:
        self._registrations = registrations
        self._clock = clock
        self._known: Recent[str, tuple[float, Registration]] = Recent(KNOWN_ENTRIES)
        # Apart from the known ones, so that a flood of guesses can't push those out.
        self._unknown: Recent[str, float] = Recent(UNKNOWN_ENTRIES)
        self._misses: Recent[str, tuple[float, int]] = Recent(SOURCES)
        self._reads: Flights[str, Registration] = Flights()

    async def get(self, registration_id: str, source: str | None = None) -> Registration:
        """The registration. Raises :class:`NotFound`.

        ``source``: who asks. Raises :class:`RateLimited` when it has guessed too many ids that don't exist.
        """
        now = self._clock.monotonic()
        known = self._known.get(registration_id)
        if known is not None and now - known[0] < KNOWN_SECONDS:
            return known[1]
        until = self._unknown.get(registration_id)
        if until is not None and now < until:
            raise NotFound("no such registration")
        if known is None and source is not None:
            self._check_source(source, now)
        try:
            return await self._reads.run(registration_id, lambda: self.read(registration_id))
        except NotFound:
            seconds = UNKNOWN_SECONDS if until is None else STILL_UNKNOWN_SECONDS
            self._unknown.put(registration_id, now + seconds)
            self._count_miss(source, now)
            raise
        except StoreUnavailable:
            if known is None or now - known[0] > STALE_SECONDS:
                raise
            logger.warning(
                "the store does not answer: a registration read earlier is used",
                extra={"registrationId": registration_id},
            )
            return known[1]

    async def read(self, registration_id: str) -> Registration:
        """The registration as it is stored now."""
        try:
            registration = await self._registrations.get(registration_id)
        except NotFound:
            self._known.pop(registration_id)
            raise
        self._known.put(registration_id, (self._clock.monotonic(), registration))
        return registration

    def age(self, registration_id: str) -> float:
        """Seconds since it was read; 0 when it is not remembered."""
        known = self._known.get(registration_id)
        return self._clock.monotonic() - known[0] if known else 0.0

    def forget(self, registration_id: str) -> None:
        """Read it anew next time."""
        self._known.pop(registration_id)
        self._unknown.pop(registration_id)

    def _check_source(self, source: str, now: float) -> None:
        started, misses = self._misses.get(source) or (now, 0)
        if misses >= MISSES_PER_SOURCE and now - started < 60.0:
            raise RateLimited(
                "too many unknown registrations from one address", retry_after=60 - now + started
            )

    def _count_miss(self, source: str | None, now: float) -> None:
        if source is None:
            return
        started, misses = self._misses.get(source) or (now, 0)
        if now - started >= 60.0:
            started, misses = now, 0
        self._misses.put(source, (started, misses + 1))
