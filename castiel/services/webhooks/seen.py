"""Which deliveries took effect before: a mark in Redis is fast, the audit record is the judge where Redis can't know.

Redis says itself since when its marks are complete, in a mark of its own. Where that is missing (it restarted empty) or
younger than the marks live (it lost some, or missed some while it was gone), an absent mark proves nothing, and the
audit is asked. A registration that had no deliveries before that moment needs no judge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from castiel.domain.model import format_utc, utc_date
from castiel.errors import CacheUnavailable, StoreUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.stores import WebhookAuditStore
from castiel.services.group_commit import GroupCommit
from castiel.services.webhooks.registrations import Recent

logger = logging.getLogger(__name__)

SEEN_SECONDS = 86_400.0
WINDOW = timedelta(seconds=SEEN_SECONDS)
REDIS_SECONDS = 1.0
"""How long a delivery waits for Redis."""
HOLD_OFF_SECONDS = 5.0
AT_ONCE = 128
COMPLETE_SINCE = "deliveries-complete-since"
COMPLETE_SECONDS = 315_360_000.0
REMEMBERED = 10_000
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(slots=True)
class _Question:
    key: str
    value: str | None = None
    complete_since: datetime = NEVER


class SeenDeliveries:
    """Asked before a delivery is handled, told after it is durable. Redis is left alone for a while when it fails."""

    def __init__(self, marks: Marks, audit: WebhookAuditStore, clock: Clock) -> None:
        self._marks = marks
        self._audit = audit
        self._clock = clock
        self._questions: GroupCommit[_Question] = GroupCommit(self._ask, max_items=AT_ONCE)
        self._answers: GroupCommit[tuple[str, str]] = GroupCommit(self._put, max_items=AT_ONCE)
        self._try_at = 0.0
        self._missed = False
        self._had_none_before: Recent[str, tuple[datetime, bool]] = Recent(REMEMBERED)

    async def has(self, registration_id: str, key: str) -> bool:
        """Whether the delivery took effect."""
        question = _Question(f"delivery:{key}")
        now = self._clock.now()
        try:
            await self._questions.add(question)
        except CacheUnavailable:
            return await self._judge(registration_id, key, now, now)
        if question.value is not None:
            return True
        incomplete_until = question.complete_since
        if now - incomplete_until >= WINDOW or await self._had_none(registration_id, incomplete_until):
            return False
        return await self._judge(registration_id, key, now, min(now, incomplete_until))

    async def remember(self, key: str, correlation_id: str) -> None:
        """It took effect. Without Redis its audit record has to do."""
        try:
            await self._answers.add((f"delivery:{key}", correlation_id))
        except CacheUnavailable:
            self._missed = True
            logger.info("delivery not marked in Redis; its audit record is there")

    async def _had_none(self, registration_id: str, before: datetime) -> bool:
        """Whether nothing came in the day before Redis' marks begin: then there is nothing that it could have lost."""
        known = self._had_none_before.get(registration_id)
        if known is not None and known[0] == before:
            return known[1]
        none = True
        try:
            second = before + timedelta(seconds=1)
            async for audit in self._audit.of_registration(registration_id, before - WINDOW, second):
                if audit.received_at < before:
                    none = False
                    break
        except StoreUnavailable:
            return False
        self._had_none_before.put(registration_id, (before, none))
        return none

    async def _judge(self, registration_id: str, key: str, now: datetime, until: datetime) -> bool:
        """The audit record of the day it came: the one of ``until``, or one since then that is less than a day ago."""
        try:
            for day in dict.fromkeys((utc_date(until), utc_date(now - WINDOW))):
                found = await self._audit.find(registration_id, day, key)
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
                if self._missed:
                    await self._begin(anew=True)
                found = await self._marks.get_many(
                    [COMPLETE_SINCE, *(question.key for question in questions)]
                )
                since = found.get(COMPLETE_SINCE) or await self._begin()
        except (CacheUnavailable, TimeoutError) as error:
            raise self._failed(error) from error
        for question in questions:
            question.value = found.get(question.key)
            question.complete_since = datetime.fromisoformat(since)

    async def _begin(self, *, anew: bool = False) -> str:
        """Have the marks be complete from now on; ``anew``: whatever was said before."""
        now = format_utc(self._clock.now())
        if anew:
            await self._marks.put(COMPLETE_SINCE, now, seconds=COMPLETE_SECONDS)
            self._missed = False
            return now
        if await self._marks.put_if_absent(COMPLETE_SINCE, now, seconds=COMPLETE_SECONDS):
            logger.warning("Redis holds no deliveries' marks: the audit judges for a day")
            return now
        return (await self._marks.get_many([COMPLETE_SINCE])).get(COMPLETE_SINCE, now)

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
