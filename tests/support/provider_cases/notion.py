"""Notion, by the pages of a data source of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.client import SandboxControl
from infra.local.sandbox.notion.ids import CONTACTS_ID
from tests.support.provider_cases import ProviderCase


def _new(word: str) -> Mapping[str, Any]:
    return {"Name": word, "Email": f"{word.lower()}@example.com", "Tags": ["vip"], "Score": 7}


async def _edit(control: SandboxControl, record_id: str, value: str) -> None:
    await control.edit("Page", record_id, Company=value)


async def _delete(control: SandboxControl, record_id: str) -> None:
    await control.delete("Page", record_id)


async def _live(control: SandboxControl) -> int:
    return int((await control.counts())["Page"]["live"])


CASE = ProviderCase(
    integration_id="notion",
    entity="Page",
    seed={"Page": 250},
    text_field="Company",
    new=_new,
    edit=_edit,
    delete=_delete,
    live=_live,
    calls="/query",
    write_calls="/v1/pages",
    settings={"dataSourceId": CONTACTS_ID},
    sees_deletions_at_once=False,
)
