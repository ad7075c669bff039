"""GitHub, by its issues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.client import SandboxControl
from tests.support.provider_cases import ProviderCase


def _new(word: str) -> Mapping[str, Any]:
    return {"title": word, "body": f"About {word}."}


async def _edit(control: SandboxControl, record_id: str, value: str) -> None:
    await control.edit("Issue", record_id, title=value)


async def _delete(control: SandboxControl, record_id: str) -> None:
    await control.delete("Issue", record_id)


async def _live(control: SandboxControl) -> int:
    # Closed by Castiel's delete: the only thing GitHub's API has for it.
    found = await control.records("Issue", limit=100_000)
    return sum("castiel:deleted" not in (record["body"] or "") for record in found)


CASE = ProviderCase(
    integration_id="github",
    entity="Issue",
    seed={"Repository": 2, "Issue": 250, "PullRequest": 20},
    text_field="title",
    new=_new,
    edit=_edit,
    delete=_delete,
    live=_live,
    calls="/issues",
    write_calls="/issues",
    settings={
        "repositories": ["octo-org/engine", "octo-org/website"],
        "defaultRepository": "octo-org/engine",
        "mutationIntervalSeconds": 0,
    },
    sees_deletions_at_once=False,
)
