"""Slack's own client (slack_sdk) against the sandboxed workspace, reading and writing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from infra.local.sandbox.slack.names import BOT_USER_ID, TEAM_ID
from tests.support.providers import ProviderSandbox, running_sandbox
from tests.support.slack import CLIENT_ID, CLIENT_SECRET

pytestmark = [pytest.mark.stack, pytest.mark.sdk]


@asynccontextmanager
async def sdk(sandbox: ProviderSandbox, token: str | None) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=token, base_url=f"{sandbox.url}/api/", session=session)


@pytest.fixture
async def sandbox() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("slack") as found:
        yield found


@pytest.fixture
async def client(sandbox: ProviderSandbox) -> AsyncIterator[AsyncWebClient]:
    granted = await sandbox.control.grant()
    async with sdk(sandbox, granted["access_token"]) as found:
        yield found


async def test_the_client_pages_through_users(sandbox: ProviderSandbox, client: AsyncWebClient) -> None:
    await sandbox.control.seed(User=25)
    ids: list[str] = []
    async for page in await client.users_list(limit=10):
        ids += [user["id"] for user in page["members"]]
    assert len(ids) == len(set(ids)) == 27
    user = (await client.users_info(user=ids[-1]))["user"]
    assert user["id"] == ids[-1]
    me = await client.auth_test()
    assert (me["team_id"], me["user_id"]) == (TEAM_ID, BOT_USER_ID)
    assert "users:read" in me.headers["X-OAuth-Scopes"]


async def test_the_client_keeps_a_channel(client: AsyncWebClient) -> None:
    channel = (await client.conversations_create(name="project-x"))["channel"]
    await client.conversations_setTopic(channel=channel["id"], topic="Everything about X")
    await client.conversations_setPurpose(channel=channel["id"], purpose="Planning")
    renamed = (await client.conversations_rename(channel=channel["id"], name="project-y"))["channel"]
    assert renamed["name"] == "project-y"
    assert renamed["topic"]["value"] == "Everything about X"
    assert renamed["previous_names"] == ["project-x"]
    await client.conversations_archive(channel=channel["id"])
    listed = [
        (one["id"], one["is_archived"])
        async for page in await client.conversations_list(types="public_channel,private_channel")
        for one in page["channels"]
    ]
    assert listed == [(channel["id"], True)]
    live = await client.conversations_list(exclude_archived=True)
    assert live["channels"] == []


async def test_the_client_posts_updates_and_deletes(client: AsyncWebClient) -> None:
    channel = (await client.conversations_create(name="talk"))["channel"]["id"]
    metadata = {"event_type": "task_created", "event_payload": {"id": "TK-2132"}}
    posted = await client.chat_postMessage(channel=channel, text="Hello", metadata=metadata)
    reply = await client.chat_postMessage(channel=channel, text="Hi", thread_ts=posted["ts"])
    changed = await client.chat_update(channel=channel, ts=posted["ts"], text="Hello all")
    assert changed["message"]["edited"]["user"] == BOT_USER_ID
    history = await client.conversations_history(channel=channel, include_all_metadata=True, limit=5)
    [message] = history["messages"]
    assert (message["text"], message["metadata"]) == ("Hello all", metadata)
    thread = await client.conversations_replies(channel=channel, ts=posted["ts"])
    assert [one["ts"] for one in thread["messages"]] == [posted["ts"], reply["ts"]]
    await client.chat_delete(channel=channel, ts=reply["ts"])
    await client.chat_delete(channel=channel, ts=posted["ts"])
    with pytest.raises(SlackApiError) as caught:
        await client.chat_delete(channel=channel, ts="1.000002")
    assert caught.value.response["error"] == "message_not_found"


async def test_the_client_sets_a_profile_with_a_persons_token(sandbox: ProviderSandbox) -> None:
    made = await sandbox.control.create("User", first_name="Ada", last_name="King", email="ada@example.com")
    granted = await sandbox.control.grant(token_type="user")
    async with sdk(sandbox, granted["access_token"]) as client:
        answer = await client.users_profile_set(
            user=made["id"], profile={"last_name": "Lovelace", "title": "Countess"}
        )
    assert answer["profile"]["real_name"] == "Ada Lovelace"
    assert answer["profile"]["title"] == "Countess"


# The client itself uses what aiohttp has deprecated since.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_the_client_rotates_tokens(sandbox: ProviderSandbox) -> None:
    granted = await sandbox.control.grant()
    installed = Installation(
        user_id=granted["authed_user"]["id"],
        team_id=TEAM_ID,
        bot_token=granted["access_token"],
        bot_refresh_token=granted["refresh_token"],
        bot_token_expires_at=1,
        bot_user_id=BOT_USER_ID,
        bot_id="B061BOT01",
    )
    async with sdk(sandbox, None) as anonymous:
        rotator = AsyncTokenRotator(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, client=anonymous)
        rotated = await rotator.perform_token_rotation(installation=installed)
    assert rotated is not None
    assert rotated.bot_refresh_token not in (None, granted["refresh_token"])
    async with sdk(sandbox, rotated.bot_token) as client:
        assert (await client.auth_test())["ok"] is True


async def test_the_client_verifies_the_sandboxs_signature(sandbox: ProviderSandbox) -> None:
    sent = await sandbox.control.send_event(
        f"{sandbox.url}/nowhere", event="url_verification", secret="made-up-signing-secret"
    )
    headers = sent["headers"]
    verifier = SignatureVerifier("made-up-signing-secret")
    raw = json.dumps(sent["event"], ensure_ascii=False, separators=(",", ":"))
    assert verifier.is_valid_request(raw, {name.lower(): value for name, value in headers.items()})
    assert not verifier.is_valid_request(f"{raw} ", headers)
