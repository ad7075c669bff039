"""Runs one timer function: when its schedule says, at start when that was missed, and now when asked."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from infra.local.host.indexing import IndexedFunction
from infra.local.host.invoker import Invoker, Outcome
from infra.local.host.schedule import Schedule, ScheduleMonitor, ScheduleStatus
from infra.local.host.settings import resolve
from infra.local.host.wire import timer_datum

logger = logging.getLogger("infra.local.host")


class Timer:
    """One timer trigger. Occurrences never overlap: one that falls into a run is skipped, as on the platform."""

    def __init__(self, function: IndexedFunction, invoker: Invoker, monitor: ScheduleMonitor) -> None:
        self.function = function
        self.schedule = Schedule(resolve(str(function.trigger["schedule"])))
        self._invoker = invoker
        self._monitored = function.trigger.get("useMonitor") is not False and self.schedule.can_be_monitored
        self._run_on_startup = bool(function.trigger.get("runOnStartup"))
        self._monitor = monitor
        self._first_status = self._stored() or self._record(None)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the schedule until ``stop`` is set; a run that is under way is finished."""
        status = self._first_status
        if self._monitored and status.next <= datetime.now(UTC):
            status = await self._occur(status, past_due=True)
        elif self._run_on_startup:
            status = await self._occur(status, past_due=False)
        logger.debug("The next run of Functions.%s is at %s", self.function.name, status.next.isoformat())
        while not await _stopped_before(stop, status.next):
            status = await self._occur(status, past_due=False)

    async def run_now(self, invocation_id: str) -> Outcome:
        """Run once outside the schedule, as the admin endpoint does; the schedule's status does not move."""
        return await self._invoker.invoke(
            self.function,
            timer_datum(past_due=False, status=None),
            reason="This function was programmatically called via the host APIs.",
            invocation_id=invocation_id,
        )

    def _stored(self) -> ScheduleStatus | None:
        return self._monitor.read(self.function.name, self.schedule) if self._monitored else None

    async def _occur(self, status: ScheduleStatus, *, past_due: bool) -> ScheduleStatus:
        due = datetime.now(UTC)
        await self._invoker.invoke(
            self.function,
            timer_datum(past_due=past_due, status=status.as_wire() if self._monitored else None),
            reason=f"Timer fired at {due.isoformat()}",
        )
        return self._record(due)

    def _record(self, last: datetime | None) -> ScheduleStatus:
        now = datetime.now(UTC)
        status = ScheduleStatus(self.schedule.expression, last, self.schedule.next_after(now), now)
        if self._monitored:
            self._monitor.write(self.function.name, status)
        return status


async def _stopped_before(stop: asyncio.Event, moment: datetime) -> bool:
    """Wait for ``stop`` or the moment, whichever is first."""
    while (remaining := (moment - datetime.now(UTC)).total_seconds()) > 0:
        try:
            # At most a minute at a time, so that a clock set forward is noticed.
            await asyncio.wait_for(stop.wait(), min(remaining, 60.0))
        except TimeoutError:
            continue
        return True
    return stop.is_set()
