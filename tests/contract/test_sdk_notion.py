"""A published client of Notion (notion-client) against the sandboxed workspace, reading and writing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from notion_client import APIErrorCode, APIResponseError, AsyncClient
from notion_client.helpers import async_collect_paginated_api, is_full_data_source, is_full_page

from infra.local.sandbox.notion.ids import BOT_ID, CONTACTS_DATABASE_ID, CONTACTS_ID, PERSON_ID, TASKS_ID
from tests.support.notion import ENTITY, Workspace, notion_workspace

pytestmark = [pytest.mark.stack, pytest.mark.sdk]

NOWHERE = "99999999-9999-4999-8999-999999999999"


@asynccontextmanager
async def sdk(
    workspace: Workspace, version: str = "2025-09-03", **options: Any
) -> AsyncIterator[AsyncClient]:
    given = {"auth": workspace.tokens["access_token"], "notion_version": version, "retry": False} | options
    async with httpx.AsyncClient(trust_env=False) as http:
        yield AsyncClient(client=http, base_url=workspace.sandbox.url, **given)


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with notion_workspace() as found:
        yield found


async def test_the_client_finds_its_way_from_database_to_pages(workspace: Workspace) -> None:
    await workspace.control.seed(Page=130)
    async with sdk(workspace) as notion:
        database = await notion.databases.retrieve(CONTACTS_DATABASE_ID)
        source = await notion.data_sources.retrieve(database["data_sources"][0]["id"])
        pages = await async_collect_paginated_api(
            notion.data_sources.query, data_source_id=source["id"], page_size=50
        )
    assert is_full_data_source(source)
    assert source["properties"]["Name"] == {
        "id": "title",
        "name": "Name",
        "description": None,
        "type": "title",
        "title": {},
    }
    assert len({page["id"] for page in pages}) == 130
    assert all(is_full_page(page) for page in pages)


async def test_the_client_filters_and_sorts(workspace: Workspace) -> None:
    for name, score in (("Ada", 3), ("Grace", 9), ("Mary", 6)):
        await workspace.control.create(ENTITY, Name=name, Score=score, Tags=["vip"] if score > 5 else [])
    async with sdk(workspace) as notion:
        answer = await notion.data_sources.query(
            CONTACTS_ID,
            filter={
                "and": [
                    {"property": "Score", "number": {"greater_than": 4}},
                    {"property": "Tags", "multi_select": {"contains": "vip"}},
                ]
            },
            sorts=[{"property": "Score", "direction": "descending"}],
        )
    names = [page["properties"]["Name"]["title"][0]["plain_text"] for page in answer["results"]]
    assert names == ["Grace", "Mary"]


async def test_the_client_creates_changes_trashes_and_restores(workspace: Workspace) -> None:
    async with sdk(workspace, "2026-03-11") as notion:
        page = await notion.pages.create(
            parent={"type": "data_source_id", "data_source_id": CONTACTS_ID},
            properties={
                "Name": {"title": [{"text": {"content": "Ada"}}]},
                "Email": {"email": "ada@example.com"},
                "Owner": {"people": [{"id": PERSON_ID}]},
            },
        )
        changed = await notion.pages.update(
            page["id"], properties={"Kind": {"select": {"name": "Brand new"}}}
        )
        trashed = await notion.pages.update(page["id"], in_trash=True)
        hidden = await notion.data_sources.query(CONTACTS_ID)
        found = await notion.data_sources.query(CONTACTS_ID, in_trash=True)
        restored = await notion.pages.update(page["id"], in_trash=False)
        source = await notion.data_sources.retrieve(CONTACTS_ID)
    assert changed["properties"]["Kind"]["select"]["name"] == "Brand new"
    assert changed["last_edited_by"] == {"object": "user", "id": BOT_ID}
    assert (trashed["in_trash"], restored["in_trash"]) == (True, False)
    assert "archived" not in trashed
    assert hidden["results"] == []
    assert [one["id"] for one in found["results"]] == [page["id"]]
    assert "Brand new" in [one["name"] for one in source["properties"]["Kind"]["select"]["options"]]


async def test_the_client_reads_a_long_relation(workspace: Workspace) -> None:
    await workspace.control.seed(Task=70)
    tasks = [page["id"] for page in await workspace.control.records(ENTITY)]
    page = await workspace.control.create(ENTITY, Name="Busy", Tasks=tasks)
    async with sdk(workspace) as notion:
        whole = await notion.pages.retrieve(page["id"])
        relation = whole["properties"]["Tasks"]
        items = await async_collect_paginated_api(
            notion.pages.properties.retrieve, page_id=page["id"], property_id=relation["id"], page_size=30
        )
    assert (len(relation["relation"]), relation["has_more"]) == (25, True)
    assert [item["relation"]["id"] for item in items] == tasks


async def test_the_client_knows_who_it_is(workspace: Workspace) -> None:
    async with sdk(workspace) as notion:
        me = await notion.users.me()
        users = await notion.users.list()
    assert (me["id"], me["type"]) == (BOT_ID, "bot")
    assert {user["type"] for user in users["results"]} == {"person", "bot"}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda n: n.pages.retrieve(NOWHERE), APIErrorCode.ObjectNotFound),
        (lambda n: n.data_sources.query(TASKS_ID, page_size=101), APIErrorCode.ValidationError),
        (lambda n: n.data_sources.query(TASKS_ID, start_cursor=NOWHERE), APIErrorCode.ValidationError),
        (
            lambda n: n.pages.create(parent={"data_source_id": TASKS_ID}, properties={"Nope": {"number": 1}}),
            APIErrorCode.ValidationError,
        ),
        (lambda n: n.users.me(auth="an invalid token"), APIErrorCode.Unauthorized),
    ],
)
async def test_the_client_understands_refusals(workspace: Workspace, call: Any, code: APIErrorCode) -> None:
    async with sdk(workspace) as notion:
        with pytest.raises(APIResponseError) as caught:
            await call(notion)
    assert caught.value.code == code


async def test_the_client_waits_out_a_rate_limit(workspace: Workspace) -> None:
    await workspace.control.fault("status", status=429, retry_after=1)
    async with sdk(workspace, retry=True) as notion:
        assert (await notion.users.me())["id"] == BOT_ID
    assert [call["status"] for call in await workspace.control.calls(path="users/me")] == [429, 200]


async def test_the_client_refreshes_introspects_and_revokes(workspace: Workspace) -> None:
    client = {"client_id": "castiel-local", "client_secret": "castiel-local-secret"}
    async with sdk(workspace) as notion:
        pair = await notion.oauth.token(
            **client, grant_type="refresh_token", refresh_token=workspace.tokens["refresh_token"]
        )
        told = await notion.oauth.introspect(**client, token=pair["access_token"])
        await notion.oauth.revoke(**client, token=pair["access_token"])
        after = await notion.oauth.introspect(**client, token=pair["access_token"])
    assert pair["refresh_token"] != workspace.tokens["refresh_token"]
    assert "expires_in" not in pair
    assert (told["active"], after["active"]) == (True, False)
