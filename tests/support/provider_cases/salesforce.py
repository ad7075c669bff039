"""Salesforce, by its contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.client import SandboxControl
from tests.support.provider_cases import ProviderCase


def _new(word: str) -> Mapping[str, Any]:
    return {"LastName": word, "FirstName": "New", "Email": f"{word.lower()}@example.com"}


async def _edit(control: SandboxControl, record_id: str, value: str) -> None:
    await control.edit("Contact", record_id, Title=value)


async def _delete(control: SandboxControl, record_id: str) -> None:
    await control.delete("Contact", record_id)


async def _live(control: SandboxControl) -> int:
    return int((await control.counts())["Contact"]["live"])


CASE = ProviderCase(
    integration_id="salesforce",
    entity="Contact",
    seed={"Contact": 450},
    text_field="Title",
    new=_new,
    edit=_edit,
    delete=_delete,
    live=_live,
    calls="query",
    write_calls="composite/sobjects",
    small_pages={"pageSize": 200},
)
