"""A tenant's own limits: stored with its connections, effective without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from castiel.domain.limits import OPERATION_LIMITS, TenantLimits
from castiel.errors import AlreadyExists, Conflict, InvalidInput, StoreUnavailable
from castiel.ports.clock import Clock
from castiel.ports.stores import LimitStore
from castiel.services.flights import Flights

logger = logging.getLogger(__name__)

CACHE_SECONDS = 30.0
CACHED_TENANTS = 10_000
WRITE_ATTEMPTS = 5


class LimitOverrides:
    """Reads through a cache of 30 s; ``integrations``: the ids an override may name."""

    def __init__(self, store: LimitStore, clock: Clock, *, integrations: Collection[str]) -> None:
        self._store = store
        self._clock = clock
        self._integrations = frozenset(integrations)
        self._cache: dict[str, tuple[float, TenantLimits]] = {}
        self._first_reads: Flights[str, TenantLimits] = Flights()

    async def of(self, tenant_id: str) -> TenantLimits:
        """The tenant's limits, at most 30 s old; what is known, or nothing special, while the store is gone."""
        now = self._clock.monotonic()
        cached = self._cache.get(tenant_id)
        if cached is not None and now < cached[0]:
            return cached[1]
        if cached is None:
            # Nothing is known yet: whoever comes meanwhile waits, for the tenant's limit may be below the default.
            return await self._first_reads.run(
                tenant_id, lambda: self._read(tenant_id, TenantLimits(tenant_id=tenant_id))
            )
        # Whoever comes while this one reads takes what is known.
        self._remember(tenant_id, cached[1], now)
        return await self._read(tenant_id, cached[1])

    async def _read(self, tenant_id: str, known: TenantLimits) -> TenantLimits:
        now = self._clock.monotonic()
        try:
            known = await self._store.get(tenant_id) or TenantLimits(tenant_id=tenant_id)
        except StoreUnavailable as error:
            logger.warning("limits not read, going on with what is known: %s", error)
        self._remember(tenant_id, known, now)
        return known

    async def show(self, tenant_id: str) -> TenantLimits:
        """The tenant's limits as stored. Raises :class:`StoreUnavailable`."""
        return await self._store.get(tenant_id) or TenantLimits(tenant_id=tenant_id)

    async def set(self, tenant_id: str, name: str, per_minute: int) -> TenantLimits:
        """Override one limit: ``tenant``, ``webhook``, an operation or an integration.

        Raises :class:`InvalidInput` for another name or a limit that is none, and :class:`StoreUnavailable`.
        """
        if not 1 <= per_minute <= 10_000_000:
            raise InvalidInput("a limit is a number of calls per minute from 1 on")
        self._check(name)
        return await self._change(tenant_id, lambda limits: self._assign(limits, name, per_minute))

    async def reset(self, tenant_id: str, name: str | None = None) -> TenantLimits:
        """Back to the default: one limit, or all of them."""
        if name is not None:
            self._check(name)
        names = [name] if name else ["tenant", "webhook", *OPERATION_LIMITS, *self._integrations]

        def clear(limits: TenantLimits) -> None:
            for each in names:
                self._assign(limits, each, None)

        return await self._change(tenant_id, clear)

    async def _change(self, tenant_id: str, change: Callable[[TenantLimits], None]) -> TenantLimits:
        for attempt in range(WRITE_ATTEMPTS):
            limits = (await self.show(tenant_id)).copy_of()
            change(limits)
            limits.updated_at = self._clock.now()
            try:
                written = await self._store.put(limits)
            except (Conflict, AlreadyExists):
                if attempt == WRITE_ATTEMPTS - 1:
                    raise
                continue
            self._remember(tenant_id, written, self._clock.monotonic())
            return written
        raise AssertionError("unreachable")

    def _check(self, name: str) -> None:
        known = ("tenant", "webhook", *OPERATION_LIMITS, *sorted(self._integrations))
        if name not in known:
            raise InvalidInput(f"no limit is called {name!r}; there are: {', '.join(known)}")

    @staticmethod
    def _assign(limits: TenantLimits, name: str, value: int | None) -> None:
        if name == "tenant":
            limits.tenant = value
        elif name == "webhook":
            limits.webhook = value
        else:
            group = limits.operations if name in OPERATION_LIMITS else limits.integrations
            group.pop(name, None)
            if value is not None:
                group[name] = value

    def _remember(self, tenant_id: str, limits: TenantLimits, now: float) -> None:
        if len(self._cache) >= CACHED_TENANTS and tenant_id not in self._cache:
            self._cache = {each: kept for each, kept in self._cache.items() if kept[0] > now}
            if len(self._cache) >= CACHED_TENANTS:
                self._cache.clear()
        self._cache[tenant_id] = (now + CACHE_SECONDS, limits)
