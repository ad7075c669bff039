"""The sandboxed Slack workspace over plain HTTP: what the documentation says the real one answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from infra.local.sandbox.slack.names import BOT_ID, BOT_USER_ID, TEAM_ID
from tests.support.providers import running_sandbox
from tests.support.slack import CLIENT_ID, CLIENT_SECRET, WebApi

pytestmark = pytest.mark.stack


@pytest.fixture
async def slack() -> AsyncIterator[WebApi]:
    async with running_sandbox("slack") as sandbox, httpx.AsyncClient(trust_env=False, timeout=10) as http:
        granted = await sandbox.control.grant()
        yield WebApi(sandbox, http, granted["access_token"])


async def _channel(slack: WebApi, name: str = "launch") -> str:
    return str((await slack.sandbox.control.create("Channel", name=name))["id"])


async def test_a_user_has_the_published_shape(slack: WebApi) -> None:
    await slack.sandbox.control.seed(User=3)
    body = await slack.get("users.list", limit=100)
    assert body["ok"] is True
    assert body["response_metadata"] == {"next_cursor": ""}
    user = next(one for one in body["members"] if one["name"] not in ("owner", "castiel"))
    assert user["team_id"] == TEAM_ID
    assert isinstance(user["updated"], int)
    assert user["profile"]["email"].endswith("@example.com")
    assert user["profile"]["fields"] is None
    assert user["profile"]["status_text"] == ""


async def test_a_deactivated_user_shows_less(slack: WebApi) -> None:
    made = await slack.sandbox.control.create("User", first_name="Ada", last_name="Lovelace", email="a@b.com")
    await slack.sandbox.control.delete("User", made["id"])
    user = (await slack.get("users.info", user=made["id"]))["user"]
    assert user["deleted"] is True
    assert "real_name" not in user


async def test_the_address_needs_its_scope(slack: WebApi) -> None:
    await slack.sandbox.control.seed(User=1)
    slack.token = (await slack.sandbox.control.grant(scope="users:read"))["access_token"]
    assert all("email" not in one["profile"] for one in (await slack.get("users.list"))["members"])
    refused = await slack.get("conversations.list")
    assert refused == {
        "ok": False,
        "error": "missing_scope",
        "needed": "channels:read",
        "provided": "users:read",
    }


async def test_listings_page_by_cursor(slack: WebApi) -> None:
    await slack.sandbox.control.seed(User=25)
    seen: list[str] = []
    cursor = ""
    while True:
        body = await slack.get("users.list", limit=10, **({"cursor": cursor} if cursor else {}))
        seen += [user["id"] for user in body["members"]]
        cursor = body["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 27
    assert (await slack.get("users.list", cursor="bm9uc2Vuc2U="))["error"] == "invalid_cursor"
    assert (await slack.get("users.list", limit=5000))["error"] == "invalid_limit"


async def test_a_history_is_newest_first_within_its_bounds(slack: WebApi) -> None:
    channel = await _channel(slack)
    stamps = [(await slack.post("chat.postMessage", channel=channel, text=f"no {n}"))["ts"] for n in range(5)]
    body = await slack.get("conversations.history", channel=channel, limit=2)
    assert [message["ts"] for message in body["messages"]] == [stamps[4], stamps[3]]
    assert body["has_more"] is True
    following = await slack.get(
        "conversations.history", channel=channel, limit=9, cursor=body["response_metadata"]["next_cursor"]
    )
    assert [message["ts"] for message in following["messages"]] == [stamps[2], stamps[1], stamps[0]]
    assert following["has_more"] is False
    between = {"channel": channel, "oldest": stamps[1], "latest": stamps[3]}
    assert len((await slack.get("conversations.history", **between))["messages"]) == 1
    assert len((await slack.get("conversations.history", **between, inclusive="true"))["messages"]) == 3
    assert (await slack.get("conversations.history", channel=channel, oldest="soon"))["error"] == (
        "invalid_ts_oldest"
    )


async def test_a_message_carries_author_blocks_and_metadata(slack: WebApi) -> None:
    channel = await _channel(slack)
    metadata = {"event_type": "task_created", "event_payload": {"id": "11223"}}
    posted = await slack.post("chat.postMessage", channel=channel, text="a < b & <@U1>", metadata=metadata)
    message = posted["message"]
    assert message["text"] == "a &lt; b &amp; <@U1>"
    assert (message["bot_id"], message["user"], message["type"]) == (BOT_ID, BOT_USER_ID, "message")
    assert message["blocks"][0]["type"] == "rich_text"
    [shown] = (await slack.get("conversations.history", channel=channel))["messages"]
    assert shown["metadata"] == {"event_type": "task_created"}
    [whole] = (await slack.get("conversations.history", channel=channel, include_all_metadata="true"))[
        "messages"
    ]
    assert whole["metadata"] == metadata


async def test_replies_are_in_their_thread_only(slack: WebApi) -> None:
    channel = await _channel(slack)
    parent = (await slack.post("chat.postMessage", channel=channel, text="What do you think?"))["ts"]
    reply = await slack.post("chat.postMessage", channel=channel, text="Good!", thread_ts=parent)
    history = (await slack.get("conversations.history", channel=channel))["messages"]
    assert [(one["ts"], one["reply_count"], one["latest_reply"]) for one in history] == [
        (parent, 1, reply["ts"])
    ]
    thread = (await slack.get("conversations.replies", channel=channel, ts=parent))["messages"]
    assert [one["ts"] for one in thread] == [parent, reply["ts"]]
    await slack.post("chat.delete", channel=channel, ts=parent)
    [tombstone] = (await slack.get("conversations.history", channel=channel))["messages"]
    assert tombstone["subtype"] == "tombstone"


async def test_writes_are_refused_as_slack_does(slack: WebApi) -> None:
    channel = await _channel(slack)
    closed = str((await slack.sandbox.control.create("Channel", name="elsewhere", is_member=False))["id"])
    said = await slack.sandbox.control.create("Message", channel=channel, text="by a person")
    ts = said["id"].split(":")[1]
    codes = {
        "no_text": await slack.post("chat.postMessage", channel=channel),
        "msg_too_long": await slack.post("chat.postMessage", channel=channel, text="x" * 40_001),
        "not_in_channel": await slack.post("chat.postMessage", channel=closed, text="x"),
        "channel_not_found": await slack.post("chat.postMessage", channel="C0NOWHERE", text="x"),
        "cant_update_message": await slack.post("chat.update", channel=channel, ts=ts, text="x"),
        "cant_delete_message": await slack.post("chat.delete", channel=channel, ts=ts),
        "message_not_found": await slack.post("chat.delete", channel=channel, ts="1.000001"),
        "invalid_metadata_format": await slack.post(
            "chat.postMessage", channel=channel, text="x", metadata={"event_type": "a"}
        ),
        "name_taken": await slack.post("conversations.create", name="launch"),
        "invalid_name_specials": await slack.post("conversations.create", name="Big News"),
        "not_allowed_token_type": await slack.post("users.profile.set", profile={"title": "x"}),
        "unknown_method": await slack.post("chat.shout"),
    }
    assert {code: body["error"] for code, body in codes.items()} == {code: code for code in codes}
    missing = await slack.post("conversations.rename", channel=channel)
    assert missing["error"] == "invalid_arguments"
    assert missing["response_metadata"]["messages"] == ["[ERROR] missing required field: name"]


async def test_bodies_are_read_as_slack_does(slack: WebApi) -> None:
    channel = await _channel(slack)
    url = f"{slack.sandbox.url}/api/chat.postMessage"
    bearer = {"Authorization": f"Bearer {slack.token}"}
    warned = await slack.http.post(url, json={"channel": channel, "text": "x"}, headers=bearer)
    assert warned.json()["warning"] == "missing_charset"
    broken = await slack.http.post(
        url, content=b"{", headers={**bearer, "Content-Type": "application/json; charset=utf-8"}
    )
    assert broken.json()["error"] == "invalid_json"
    form = await slack.http.post(url, data={"token": slack.token, "channel": channel, "text": "by form"})
    assert form.json()["ok"] is True
    in_body = await slack.http.post(url, json={"token": slack.token, "channel": channel, "text": "x"})
    assert in_body.json()["error"] == "not_authed"
    xml = await slack.http.post(url, content=b"<x/>", headers={**bearer, "Content-Type": "text/xml"})
    assert xml.json()["error"] == "invalid_post_type"


async def test_tokens_end(slack: WebApi) -> None:
    good, slack.token = slack.token, "nonsense"
    assert (await slack.get("auth.test"))["error"] == "invalid_auth"
    slack.token = good
    await slack.sandbox.control.expire_access_tokens()
    assert (await slack.get("auth.test"))["error"] == "token_expired"
    await slack.sandbox.control.revoke()
    assert (await slack.get("auth.test"))["error"] == "token_revoked"


async def test_refresh_tokens_rotate(slack: WebApi) -> None:
    granted = await slack.sandbox.control.grant()
    assert granted["expires_in"] == 43_200
    url = f"{slack.sandbox.url}/api/oauth.v2.access"
    form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    wrong = await slack.http.post(url, data=form, auth=(CLIENT_ID, "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (200, "bad_client_secret")
    first = (await slack.http.post(url, data=form, auth=(CLIENT_ID, CLIENT_SECRET))).json()
    assert first["ok"] is True
    assert first["token_type"] == "bot"
    assert first["refresh_token"] != granted["refresh_token"]
    again = (await slack.http.post(url, data=form, auth=(CLIENT_ID, CLIENT_SECRET))).json()
    assert again == {"ok": False, "error": "invalid_refresh_token"}


async def test_without_rotation_tokens_do_not_end(slack: WebApi) -> None:
    await slack.sandbox.control.policy(token_rotation=False)
    granted = await slack.sandbox.control.grant()
    assert not {"expires_in", "refresh_token"} & set(granted)


async def test_limits_are_kept_where_they_are_asked_for(slack: WebApi) -> None:
    channel = await _channel(slack)
    await slack.sandbox.control.policy(enforce_rate_limits=True)
    url = f"{slack.sandbox.url}/api/chat.postMessage"
    answers = [
        await slack.http.post(
            url,
            data={"channel": channel, "text": "x"},
            headers={"Authorization": f"Bearer {slack.token}"},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json() == {"ok": False, "error": "ratelimited"}
    assert answers[1].headers["Retry-After"] == "1"
