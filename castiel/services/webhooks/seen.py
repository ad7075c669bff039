"""Which deliveries took effect before: a mark in Redis is fast, the audit record is the judge when Redis is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from castiel.domain.model import utc_date
from castiel.errors import CacheUnavailable, StoreUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.stores import WebhookAuditStore
from castiel.services.group_commit import GroupCommit

logger = logging.getLogger(__name__)

SEEN_SECONDS = 86_400.0
REDIS_SECONDS = 1.0
"""How long a delivery waits for Redis."""
HOLD_OFF_SECONDS = 5.0
AT_ONCE = 128


@dataclass(slots=True)
class _Question:
    key: str
    value: str | None = field(default=None)


class SeenDeliveries:
    """Asked before a delivery is handled, told after it is durable. Redis is left alone for a while when it fails."""

    def __init__(self, marks: Marks, audit: WebhookAuditStore, clock: Clock) -> None:
        self._marks = marks
        self._audit = audit
        self._clock = clock
        self._questions: GroupCommit[_Question] = GroupCommit(self._ask, max_items=AT_ONCE, at_once=2)
        self._answers: GroupCommit[tuple[str, str]] = GroupCommit(self._put, max_items=AT_ONCE, at_once=2)
        self._try_at = 0.0

    async def has(self, registration_id: str, key: str) -> bool:
        """Whether the delivery took effect."""
        question = _Question(f"delivery:{key}")
        try:
            await self._questions.add(question)
        except CacheUnavailable:
            return await self._judge(registration_id, key)
        return question.value is not None

    async def remember(self, key: str, correlation_id: str) -> None:
        """It took effect. Without Redis its audit record has to do."""
        try:
            await self._answers.add((f"delivery:{key}", correlation_id))
        except CacheUnavailable:
            logger.info("delivery not marked in Redis; its audit record is there")

    async def _judge(self, registration_id: str, key: str) -> bool:
        """The audit record of today or, since it may have come before midnight, of yesterday."""
        now = self._clock.now()
        try:
            for day in (now, now - timedelta(days=1)):
                found = await self._audit.find(registration_id, utc_date(day), key)
                if found is not None:
                    return found.status == 200
        except StoreUnavailable:
            # Nobody knows. Message ids follow from the delivery, so taking it again changes nothing.
            logger.warning("neither Redis nor the audit can tell whether a delivery came before")
        return False

    async def _ask(self, questions: Sequence[_Question]) -> None:
        self._check()
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                found = await self._marks.get_many([question.key for question in questions])
        except (CacheUnavailable, TimeoutError) as error:
            raise self._failed(error) from error
        for question in questions:
            question.value = found.get(question.key)

    async def _put(self, marks: Sequence[tuple[str, str]]) -> None:
        self._check()
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._marks.put_many(dict(marks), seconds=SEEN_SECONDS)
        except (CacheUnavailable, TimeoutError) as error:
            raise self._failed(error) from error

    def _check(self) -> None:
        if self._clock.monotonic() < self._try_at:
            raise CacheUnavailable("Redis: it failed a moment ago")

    def _failed(self, error: Exception) -> CacheUnavailable:
        self._try_at = self._clock.monotonic() + HOLD_OFF_SECONDS
        return CacheUnavailable(f"Redis: {type(error).__name__}")
