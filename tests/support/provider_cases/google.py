"""Google, by the events of a calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.client import SandboxControl
from tests.support.google import meeting
from tests.support.provider_cases import ProviderCase


def _new(word: str) -> Mapping[str, Any]:
    return meeting(word)


async def _edit(control: SandboxControl, record_id: str, value: str) -> None:
    await control.edit("Event", record_id, summary=value)


async def _delete(control: SandboxControl, record_id: str) -> None:
    await control.delete("Event", record_id)


async def _live(control: SandboxControl) -> int:
    return int((await control.counts())["Event"]["live"])


CASE = ProviderCase(
    integration_id="google",
    entity="Event",
    seed={"Event": 250},
    text_field="summary",
    new=_new,
    edit=_edit,
    delete=_delete,
    live=_live,
    calls="events",
    write_calls="(events|batch)",
    small_pages={"pageSize": 100},
)
