"""NCRONTAB schedules and the monitor that remembers when a timer was due."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from croniter import CroniterBadCronError, croniter

from infra.local.host.errors import ConfigurationError


class Schedule:
    """An NCRONTAB expression of six fields (with seconds) or five, in UTC.

    Unlike classic cron, a day must match both the day of the month and the day of the week.
    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """

    def __init__(self, expression: str) -> None:
        """Parse the expression.

        Raises:
            ConfigurationError: it is not NCRONTAB (time spans work on dedicated plans only and are not served).
        """
        self.expression = expression.strip()
        fields = len(self.expression.split())
        if fields not in (5, 6):
            raise ConfigurationError(f"{expression!r} is not an NCRONTAB expression of six fields")
        self._with_seconds = fields == 6
        try:
            self.next_after(datetime.now(UTC))
        except (CroniterBadCronError, ValueError) as error:
            raise ConfigurationError(f"{expression!r} is not an NCRONTAB expression: {error}") from error

    def next_after(self, moment: datetime) -> datetime:
        """Return the first occurrence after ``moment`` (which has a time zone)."""
        cron = croniter(
            self.expression,
            moment.astimezone(UTC),
            second_at_beginning=self._with_seconds,
            day_or=False,
        )
        following: datetime = cron.get_next(datetime)
        return following

    @property
    def can_be_monitored(self) -> bool:
        """Whether occurrences are at least a minute apart: the platform does not monitor denser schedules."""
        first = self.next_after(datetime.now(UTC))
        return self.next_after(first) - first >= timedelta(minutes=1)


@dataclass(frozen=True)
class ScheduleStatus:
    """What is remembered of a timer between runs of the host."""

    expression: str
    last: datetime | None
    next: datetime
    last_updated: datetime

    def as_wire(self) -> dict[str, str]:
        """Return it as the timer's data shows it."""
        return {
            "Last": (self.last or datetime(1, 1, 1, tzinfo=UTC)).isoformat(),
            "Next": self.next.isoformat(),
            "LastUpdated": self.last_updated.isoformat(),
        }


class ScheduleMonitor:
    """Keeps each timer's status in a small JSON file, so that an occurrence missed while down is seen at start.

    Without a folder nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, function: str, schedule: Schedule) -> ScheduleStatus | None:
        """Return the status, or None when there is none or the schedule has changed since."""
        if self._folder is None:
            return None
        try:
            stored = json.loads((self._folder / f"{function}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if stored["expression"] != schedule.expression:
            return None
        return ScheduleStatus(
            expression=stored["expression"],
            last=datetime.fromisoformat(stored["last"]) if stored["last"] else None,
            next=datetime.fromisoformat(stored["next"]),
            last_updated=datetime.fromisoformat(stored["last_updated"]),
        )

    def write(self, function: str, status: ScheduleStatus) -> None:
        """Replace the status in one step, so that a kill leaves the old or the new one."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        document = {
            "expression": status.expression,
            "last": status.last.isoformat() if status.last else None,
            "next": status.next.isoformat(),
            "last_updated": status.last_updated.isoformat(),
        }
        path = self._folder / f"{function}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document), encoding="utf-8")
        os.replace(partial, path)
