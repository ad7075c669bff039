"""The local Functions host's timers: on schedule, missed, and across a kill."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.echo_app import ECHO_APP, NEVER, EchoRecords
from tests.support.host import running_host

pytestmark = pytest.mark.stack


async def test_a_timer_follows_its_schedule_with_seconds(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    async with running_host(ECHO_APP, records.settings(schedule="* * * * * *")) as host:
        await records.wait("tick", 2)
        starts = re.findall(r"Timer fired at (\S+)'", host.log())
    seconds = [datetime.fromisoformat(start) for start in starts[:2]]
    assert timedelta(seconds=0.5) < seconds[1] - seconds[0] < timedelta(seconds=1.5)
    assert records.all("tick")[0]["past_due"] is False


async def test_an_occurrence_missed_while_the_host_was_dead_runs_at_start(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    async with running_host(ECHO_APP, records.settings(schedule=NEVER), data=tmp_path / "data") as host:
        await host.kill()
        _set_next(tmp_path / "data" / "timers" / "Tick.json", datetime.now(UTC) - timedelta(hours=1))
        await host.start()
        [tick] = await records.wait("tick")
        assert tick["past_due"] is True
        assert set(tick["status"]) == {"Last", "Next", "LastUpdated"}
        await host.stop()
        await host.start()
        await host.run_timer("Tick")
    assert [tick["past_due"] for tick in records.all("tick")] == [True, False]


async def test_nothing_was_missed_when_the_schedule_has_changed(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    data = tmp_path / "data"
    async with running_host(ECHO_APP, records.settings(schedule="0 0 3 * * *"), data=data):
        pass
    _set_next(data / "timers" / "Tick.json", datetime.now(UTC) - timedelta(hours=1))
    async with running_host(ECHO_APP, records.settings(schedule=NEVER), data=data) as host:
        await host.run_timer("Tick")
    assert [tick["past_due"] for tick in records.all("tick")] == [False]


async def test_a_disabled_timer_is_not_there(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    settings = {**records.settings(schedule="* * * * * *"), "AzureWebJobs.Tick.Disabled": "true"}
    async with running_host(ECHO_APP, settings) as host:
        assert "Function Tick is disabled" in host.log()
        assert "timerTrigger" not in host.log()


def _set_next(file: Path, moment: datetime) -> None:
    status = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**status, "next": moment.isoformat()}), encoding="utf-8")
