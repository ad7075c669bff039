"""When a task runs next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from castiel.domain.schedules import next_run
from castiel.domain.tasks import Schedule
from castiel.errors import ConfigurationError

NOW = datetime(2025, 12, 10, 13, 0, 30, tzinfo=UTC)


def test_without_a_schedule_there_is_no_next_run() -> None:
    assert next_run(None, NOW) is None


def test_an_interval_counts_from_the_end() -> None:
    assert next_run(Schedule(interval_seconds=90), NOW) == datetime(2025, 12, 10, 13, 2, 0, tzinfo=UTC)


def test_a_cron_expression_is_read_in_utc() -> None:
    assert next_run(Schedule(cron="15 3 * * *"), NOW) == datetime(2025, 12, 11, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule(cron="* * * * *", interval_seconds=60),
        Schedule(cron="every day"),
        Schedule(cron="0 0 * * * *"),
    ],
)
def test_a_bad_schedule_names_its_field(schedule: Schedule) -> None:
    with pytest.raises(ConfigurationError, match="schedule"):
        next_run(schedule, NOW)
