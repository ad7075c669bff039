"""Alerts of the rate limiter: a log line and an event, each at most once a minute for all instances."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum

from castiel import telemetry
from castiel.errors import CacheUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.messaging import Event, EventPublisher

logger = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
PUBLISH_SECONDS = 2.0
"""A decision does not wait longer for whoever listens."""
REMEMBERED = 10_000


class LimitAlert(StrEnum):
    """What is worth telling."""

    APPROACHING = "rate_limit_approaching"
    EXCEEDED = "rate_limit_exceeded"
    QUEUE_OVERFLOW = "rate_limit_queue_overflow"
    PROVIDER_THROTTLED = "rate_limit_provider_throttled"


class LimitAlerts:
    """Tells of a subject's limits (``{tenant}/{integration}`` or a webhook's registration)."""

    def __init__(self, events: EventPublisher, marks: Marks, clock: Clock) -> None:
        self._events = events
        self._marks = marks
        self._clock = clock
        self._quiet_until: dict[tuple[LimitAlert, str], float] = {}

    async def tell(
        self, alert: LimitAlert, tenant_id: str, subject: str, *, key: str, **data: str | int | float | None
    ) -> None:
        """Tell, unless it was told in the last minute. ``key``: what the alert is about, a level's key."""
        if not await self._is_news(alert, key):
            return
        known = {name: value for name, value in data.items() if value is not None}
        telemetry.count("rate_limit_alerts", alert=alert.value)
        logger.warning("rate limit: %s", subject, extra={"alert": alert.value, "level": key, **known})
        event = Event(
            "castiel.ratelimit.alert",
            f"limits/{subject}",
            {"alert": alert.value, "level": key, **known},
            tenant_id,
        )
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._events.publish(event)
        except TimeoutError:
            logger.warning("event not published in time", extra={"eventType": event.type})

    async def _is_news(self, alert: LimitAlert, key: str) -> bool:
        now = self._clock.monotonic()
        if self._quiet_until.get((alert, key), 0.0) > now:
            return False
        if len(self._quiet_until) >= REMEMBERED:
            self._quiet_until = {each: until for each, until in self._quiet_until.items() if until > now}
        self._quiet_until[alert, key] = now + QUIET_SECONDS
        try:
            return await self._marks.put_if_absent(f"alert:{alert.value}:{key}", "1", seconds=QUIET_SECONDS)
        except CacheUnavailable:
            return True  # Without Redis each instance tells for itself.
