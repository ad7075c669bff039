"""The sandboxed Notion workspace refuses what the real one refuses, and survives its process."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from castiel.domain.signatures import PRESETS, verify
from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl
from infra.local.sandbox.notion.ids import BOT_ID, CONTACTS_ID, PERSON_ID, TASKS_ID
from tests.support.notion import ENTITY, Workspace, notion_workspace

pytestmark = pytest.mark.stack

QUERY = f"/v1/data_sources/{CONTACTS_ID}/query"
ASCENDING = [{"timestamp": "last_edited_time", "direction": "ascending"}]


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with notion_workspace() as found:
        yield found


def _told(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["object"] == "error"
    assert body["status"] == answer.status_code
    assert body["request_id"]
    return answer.status_code, body["code"]


async def _create(workspace: Workspace, **properties: Any) -> httpx.Response:
    body = {"parent": {"type": "data_source_id", "data_source_id": CONTACTS_ID}, "properties": properties}
    return await workspace.call("POST", "/v1/pages", body)


async def test_headers_are_demanded(workspace: Workspace) -> None:
    assert _told(await workspace.call("GET", "/v1/users/me", version=None)) == (400, "missing_version")
    assert _told(await workspace.call("GET", "/v1/users/me", version="2021-01-01")) == (
        400,
        "missing_version",
    )
    assert _told(await workspace.call("GET", "/v1/users/me", Authorization="")) == (401, "unauthorized")
    form = await workspace.call("POST", QUERY, None, Content_Type="application/x-www-form-urlencoded")
    assert _told(form) == (400, "invalid_json")
    assert _told(await workspace.call("GET", "/v1/nothing/here")) == (400, "invalid_request_url")
    assert _told(await workspace.call("GET", "/v1/pages/no-uuid")) == (400, "validation_error")


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Nickname": {"rich_text": []}}, "Nickname is not a property that exists."),
        ({"Email": {"url": "https://example.com"}}, "Email is expected to be email."),
        (
            {"Score": {"number": "7"}},
            "body failed validation: body.properties.Score.number should be a number",
        ),
        ({"Website": {"url": ""}}, "body.properties.Website.url.length should be ≥ `1`"),
        ({"Created": {"created_time": "2026-01-01"}}, "should be not present"),
        ({"Status": {"status": {"name": "Lost"}}}, "does not exist"),
        ({"Kind": {"select": {"name": "a,b"}}}, "commas not allowed"),
        ({"Birthday": {"date": {"start": "tomorrow"}}}, "valid ISO 8601"),
        (
            {"Notes": {"rich_text": [{"text": {"content": "x" * 2001}}]}},
            "should be ≤ `2000`, instead was `2001`",
        ),
        (
            {"Notes": {"rich_text": [{"text": {"content": "🜚" * 1001}}]}},
            "should be ≤ `2000`, instead was `2002`",
        ),
    ],
)
async def test_values_are_checked(workspace: Workspace, properties: dict[str, Any], message: str) -> None:
    answer = await _create(workspace, **properties)
    assert _told(answer) == (400, "validation_error")
    assert message in answer.json()["message"]


async def test_a_trashed_page_refuses_edits_and_leaves_queries(workspace: Workspace) -> None:
    page = (await _create(workspace, Name={"title": [{"text": {"content": "Ada"}}]})).json()
    path = f"/v1/pages/{page['id']}"
    trashed = (await workspace.call("PATCH", path, {"archived": True})).json()
    assert (trashed["archived"], trashed["in_trash"]) == (True, True)
    assert _told(await workspace.call("PATCH", path, {"properties": {}})) == (400, "validation_error")
    assert (await workspace.call("POST", QUERY, {})).json()["results"] == []
    assert (await workspace.call("GET", path)).json()["in_trash"] is True
    refused = await workspace.call("PATCH", path, {"archived": False}, version="2026-03-11")
    assert _told(refused) == (400, "validation_error")


async def test_times_are_told_to_the_minute_and_filtered_so(workspace: Workspace) -> None:
    first = await workspace.control.create(ENTITY, Name="First")
    await workspace.settle(2)
    second = await workspace.control.create(ENTITY, Name="Second")
    shown = (await workspace.call("POST", QUERY, {"sorts": ASCENDING})).json()["results"]
    assert [page["id"] for page in shown] == [first["id"], second["id"]]
    time = shown[1]["last_edited_time"]
    assert time.endswith(":00.000Z")

    async def found(**condition: str) -> list[str]:
        body = {"filter": {"timestamp": "last_edited_time", "last_edited_time": condition}}
        return [page["id"] for page in (await workspace.call("POST", QUERY, body)).json()["results"]]

    assert await found(on_or_after=time) == [second["id"]]
    assert await found(after=time) == []
    assert await found(before=time) == [first["id"]]


async def test_cursors_end(workspace: Workspace) -> None:
    await workspace.control.seed(Page=5)
    answer = (await workspace.call("POST", QUERY, {"page_size": 2})).json()
    assert answer["has_more"] is True
    await workspace.control.policy(cursor_seconds=0)
    gone = await workspace.call("POST", QUERY, {"page_size": 2, "start_cursor": answer["next_cursor"]})
    assert _told(gone) == (400, "validation_error")


async def test_a_query_ends_at_its_limit_and_says_so(workspace: Workspace) -> None:
    await workspace.control.seed(Page=9)
    await workspace.control.policy(query_result_limit=6)
    first = (await workspace.call("POST", QUERY, {"page_size": 4})).json()
    rest = (
        await workspace.call("POST", QUERY, {"page_size": 4, "start_cursor": first["next_cursor"]})
    ).json()
    assert (len(rest["results"]), rest["has_more"], rest["next_cursor"]) == (2, False, None)
    assert rest["request_status"]["incomplete_reason"] == "query_result_limit_reached"


@pytest.mark.parametrize(
    "body",
    [
        {"page_size": 101},
        {"page_size": 0},
        {"unknown": 1},
        {"filter": {"property": "Nope", "rich_text": {"equals": "x"}}},
        {"filter": {"property": "Score", "rich_text": {"equals": "x"}}},
        {"filter": {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": "soon"}}},
        {"sorts": [{"timestamp": "last_edited_time"}]},
    ],
)
async def test_queries_are_checked(workspace: Workspace, body: dict[str, Any]) -> None:
    assert _told(await workspace.call("POST", QUERY, body)) == (400, "validation_error")


async def test_the_request_limit_names_the_wait(workspace: Workspace) -> None:
    await workspace.control.policy(requests_per_minute=3)
    answers = [await workspace.call("GET", "/v1/users/me") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert answers[3].json()["additional_data"]["rate_limit_reason"]
    await workspace.settle(1)
    assert (await workspace.call("GET", "/v1/users/me")).status_code == 200


async def test_one_record_can_be_made_to_fail(workspace: Workspace) -> None:
    page = await workspace.control.create(ENTITY, Name="Ada")
    await workspace.control.fault("record_error", code="conflict_error", record_id=page["id"])
    path, body = f"/v1/pages/{page['id']}", {"properties": {"Score": {"number": 1}}}
    assert _told(await workspace.call("PATCH", path, body)) == (409, "conflict_error")
    assert (await workspace.call("PATCH", path, body)).status_code == 200


async def test_changes_name_their_writer(workspace: Workspace) -> None:
    page = await workspace.control.create(ENTITY, Name="Ada")
    await workspace.call("PATCH", f"/v1/pages/{page['id']}", {"properties": {"Score": {"number": 1}}})
    assert [change["origin"] for change in await workspace.control.changes()] == ["person", "bot"]
    shown = (await workspace.call("GET", f"/v1/pages/{page['id']}")).json()
    assert (shown["created_by"]["id"], shown["last_edited_by"]["id"]) == (PERSON_ID, BOT_ID)


async def test_events_are_signed_with_the_verification_token(workspace: Workspace) -> None:
    task = await workspace.control.create(ENTITY, dataSource=TASKS_ID, **{"Task name": "Call"})
    nowhere = "http://127.0.0.1:9/"
    sent = await workspace.control.send_event(
        nowhere, entity=ENTITY, id=task["id"], secret="made-up", changes={"State": "Done"}, authors=["bot"]
    )
    event = sent["event"]
    assert event["type"] == "page.properties_updated"
    assert event["authors"] == [{"id": BOT_ID, "type": "bot"}]
    assert event["data"]["parent"]["data_source_id"] == TASKS_ID
    assert event["data"]["updated_properties"] == ["sTt%3B"]
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hmac.new(b"made-up", body, hashlib.sha256).hexdigest()
    assert sent["headers"]["X-Notion-Signature"] == f"sha256={digest}"
    verify(PRESETS["notion"], sent["headers"], body, [b"made-up"], datetime.now(UTC))

    first = await workspace.control.send_event(nowhere, verification_token="made-up")
    assert first["event"] == {"verification_token": "made-up"}
    assert "X-Notion-Signature" not in first["headers"]


async def test_what_was_stored_survives_the_process(tmp_path: Path) -> None:
    async with SandboxServer(tmp_path) as server, SandboxControl(server.url, "notion") as control:
        tokens = await control.grant()
        page = await control.create(ENTITY, Name="Ada", Kind="Brand new")
    async with (
        SandboxServer(tmp_path) as server,
        SandboxControl(server.url, "notion") as control,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Notion-Version": "2025-09-03"}
        shown = await http.get(f"{control.url}/v1/pages/{page['id']}", headers=headers)
        assert shown.json()["properties"]["Kind"]["select"]["name"] == "Brand new"
        await control.reset()
        assert await control.counts() == {}
        assert (await http.get(f"{control.url}/v1/users/me", headers=headers)).status_code == 401


async def test_the_same_seed_makes_the_same_pages(workspace: Workspace) -> None:
    async def names() -> list[str]:
        await workspace.control.reset()
        await workspace.control.seed(Page=20, Task=5)
        return sorted(
            str(page.get("Name") or page.get("Task name")) for page in await workspace.control.records(ENTITY)
        )

    assert await names() == await names()
