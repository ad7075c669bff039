"""Channels of the sandboxed calendar: opened with our token, replaced before they end, closed for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from castiel.adapters.base import Adapter, MadeWebhook
from castiel.adapters.google import PROVIDER
from castiel.adapters.google.channels import MOST_LEFT
from castiel.domain.webhooks import Registration
from castiel.errors import ConfigurationError, ProviderRejected
from tests.support.google import google_adapter
from tests.support.providers import ProviderSandbox, running_sandbox

pytestmark = pytest.mark.stack

ADDRESS = "https://castiel.example.com/webhooks/reg-1/events"
TOKEN = SecretStr("made-up-channel-token")


@pytest.fixture
async def account() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as sandbox:
        yield sandbox


def registration(**settings: Any) -> Registration:
    return Registration(
        id="wh-0123456789abcdef0123456789abcdef",
        tenant_id="tenant-1",
        integration_id="google",
        connection_id="connection-1",
        scheme="google-channel",
        settings=settings,
    )


async def opened(adapter: Adapter, **settings: Any) -> MadeWebhook:
    assert PROVIDER.create_webhook is not None
    return await PROVIDER.create_webhook(adapter, registration(**settings), ADDRESS, TOKEN)


async def closed(adapter: Adapter, settings: dict[str, Any]) -> bool:
    assert PROVIDER.delete_webhook is not None
    return await PROVIDER.delete_webhook(adapter, registration(**settings))


async def is_open(adapter: Adapter, made: dict[str, Any]) -> bool:
    """By what Google answers to closing it, which it then is."""
    body = {"id": made["channelId"], "resourceId": made["resourceId"]}
    url = f"{adapter.connection.settings['baseUrl']}/calendar/v3/channels/stop"
    return (await adapter.api.call("POST", url, json_body=body, allow=(404,))).status == 204


async def test_a_channel_says_when_it_ends_and_the_next_one_lives_beside_it(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    first = await opened(adapter)
    assert first.ends_at is not None
    assert abs(first.ends_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(hours=1)
    [call] = [each for each in await account.control.calls() if each["path"].endswith("/events/watch")]
    assert call["status"] == 200
    second = await opened(adapter, **first.settings)
    assert (second.settings["channelNumber"], second.left) == (2, ())
    assert await closed(adapter, first.settings)
    assert not await is_open(adapter, first.settings)
    assert await is_open(adapter, second.settings)


async def test_one_whose_answer_was_never_stored_is_passed_over_and_named(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    stored = await opened(adapter)
    lost = [await opened(adapter, **stored.settings) for _ in range(2)]
    assert [each.settings["channelNumber"] for each in lost] == [2, 3]
    found = await opened(adapter, **stored.settings)
    assert found.settings["channelNumber"] == 4
    assert [each["channelNumber"] for each in found.left] == [2, 3]
    for each in found.left:
        assert await is_open(adapter, each)
    assert await is_open(adapter, found.settings)


async def test_attempts_without_end_open_no_channels_without_end(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    for _ in range(MOST_LEFT + 1):
        await opened(adapter)
    with pytest.raises(ProviderRejected, match="within a week"):
        await opened(adapter)
    await account.control.set_clock(advance_ms=8 * 86_400_000)
    adapter = await google_adapter(account)
    assert (await opened(adapter)).settings["channelNumber"] == 1


async def test_one_that_has_ended_or_is_closed_counts_as_closed(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    made = (await opened(adapter)).settings
    await account.control.set_clock(advance_ms=8 * 86_400_000)
    adapter = await google_adapter(account)
    assert not await is_open(adapter, made)
    assert await closed(adapter, made)
    assert await closed(adapter, made)
    assert not await closed(adapter, {})


async def test_what_google_would_not_take_is_said_before_it_is_asked(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    assert PROVIDER.create_webhook is not None
    with pytest.raises(ConfigurationError, match="https"):
        await PROVIDER.create_webhook(adapter, registration(), "http://castiel.example.com/w", TOKEN)
    with pytest.raises(ConfigurationError, match="channelNumber"):
        await opened(adapter, channelNumber="x")
    assert [each for each in await account.control.calls() if "watch" in each["path"]] == []
