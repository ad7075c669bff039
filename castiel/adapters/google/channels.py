"""A calendar's notification channels, opened and closed by the Calendar API.

A channel ends by itself and can't be renewed or changed: another one is opened, with an id that no channel had, and
the old one closed. Closing takes the id of what is watched, which only the answer to opening says.

Sources: https://developers.google.com/workspace/calendar/api/guides/push,
https://developers.google.com/workspace/calendar/api/v3/reference/events/watch
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from castiel.adapters.base import Adapter, MadeWebhook
from castiel.adapters.google.addresses import stop_url, watch_url
from castiel.domain.webhooks import Registration
from castiel.errors import ConfigurationError, MalformedResponse, ProviderRejected

MOST_LEFT = 10
"""So many attempts in a row may be cut off; what they opened has to end by itself before there is another."""
TAKEN = "channelIdNotUnique"


async def open_channel(
    adapter: Adapter, registration: Registration, address: str, secret: SecretStr
) -> MadeWebhook:
    """Watch the connection's calendar. The secret is the channel's token, which each notification shows.

    The id is the registration's and the next number. One that is taken is of an attempt whose end was never stored:
    the number after it is used, and the other is named for closing. Raises :class:`ConfigurationError` and ProviderError.
    """
    if not address.startswith("https://"):
        raise ConfigurationError("url: Google sends to an https:// address only")
    first = _number(registration) + 1
    for number in range(first, first + MOST_LEFT + 1):
        try:
            opened = await _watch(adapter, _id(registration, number), address, secret)
        except ProviderRejected as error:
            if error.provider_code != TAKEN:
                raise
            continue
        resource = opened.get("resourceId")
        if not isinstance(resource, str) or not resource:
            raise MalformedResponse("google opened a channel, and did not say what it watches")
        left = tuple(_named(registration, each, resource) for each in range(first, number))
        return MadeWebhook(_named(registration, number, resource), _end(opened.get("expiration")), left)
    raise ProviderRejected(
        f"registration {registration.id}: {MOST_LEFT} channels are open that nobody knows of; they end within a week",
        provider_code=TAKEN,
    )


async def close_channel(adapter: Adapter, registration: Registration) -> bool:
    """Close the channel that the settings name. One that has ended is closed. Raises ProviderError."""
    channel, resource = registration.settings.get("channelId"), registration.settings.get("resourceId")
    if channel is None or resource is None:
        return False
    body = {"id": str(channel), "resourceId": str(resource)}
    await adapter.api.call(
        "POST", stop_url(adapter.connection), operation="delete", json_body=body, safe=True, allow=(404,)
    )
    return True


async def _watch(adapter: Adapter, channel: str, address: str, secret: SecretStr) -> dict[str, Any]:
    reply = await adapter.api.call(
        "POST",
        watch_url(adapter.connection),
        operation="create",
        json_body={
            "id": channel,
            "type": "web_hook",
            "address": address,
            "token": secret.get_secret_value(),
        },
        # Google refuses a second one with the same id.
        safe=True,
    )
    opened = reply.json()
    if not isinstance(opened, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return opened


def _id(registration: Registration, number: int) -> str:
    """At most 64 characters: a registration's id has 35."""
    return f"{registration.id}-{number}"


def _named(registration: Registration, number: int, resource: str) -> dict[str, Any]:
    return {"channelId": _id(registration, number), "channelNumber": number, "resourceId": resource}


def _number(registration: Registration) -> int:
    number = registration.settings.get("channelNumber", 0)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ConfigurationError(
            f"registration {registration.id}, settings.channelNumber: a number is needed"
        )
    return number


def _end(expiration: Any) -> datetime | None:
    """Milliseconds since 1970, as a text or a number; ``None`` for a channel that does not end."""
    if expiration is None:
        return None
    try:
        return datetime.fromtimestamp(int(expiration) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise MalformedResponse("expiration: milliseconds were expected") from None
