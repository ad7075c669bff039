"""When a task runs next. Cron expressions have five fields and are read in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from croniter import croniter

from castiel.domain.tasks import Schedule
from castiel.errors import ConfigurationError


def next_run(schedule: Schedule | None, after: datetime) -> datetime | None:
    """The first moment after ``after`` that the schedule names; ``None`` without a schedule.

    Raises :class:`ConfigurationError` for a schedule that names both forms, neither, or an unreadable cron.
    """
    if schedule is None:
        return None
    if (schedule.cron is None) == (schedule.interval_seconds is None):
        raise ConfigurationError("schedule: give either cron or intervalSeconds")
    if schedule.interval_seconds is not None:
        return (after + timedelta(seconds=schedule.interval_seconds)).replace(microsecond=0)
    cron = schedule.cron or ""
    if not croniter.is_valid(cron) or len(cron.split()) != 5:
        raise ConfigurationError(
            "schedule.cron: five fields (minute hour day month weekday), for example '0 * * * *'"
        )
    following: datetime = croniter(cron, after.astimezone(UTC)).get_next(datetime)
    return following.astimezone(UTC)
