"""Slack, by its channels: messages can't be listed by what changed, and users can't be made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.client import SandboxControl
from tests.support.provider_cases import ProviderCase


def _new(word: str) -> Mapping[str, Any]:
    return {"name": word.lower()}


async def _edit(control: SandboxControl, record_id: str, value: str) -> None:
    await control.edit("Channel", record_id, name=value)


async def _delete(control: SandboxControl, record_id: str) -> None:
    await control.delete("Channel", record_id)


async def _live(control: SandboxControl) -> int:
    return int((await control.counts())["Channel"]["live"])


CASE = ProviderCase(
    integration_id="slack",
    entity="Channel",
    seed={"Channel": 45},
    text_field="name",
    new=_new,
    edit=_edit,
    delete=_delete,
    live=_live,
    calls="conversations.list",
    write_calls=r"conversations\.(create|rename)",
    small_pages={"pageSize": 20},
)
