"""A connection's own settings for Slack, read and checked in one place."""

from __future__ import annotations

from typing import Any

from castiel.adapters.slack.ids import is_channel_id
from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError

ENTITIES = ("User", "Channel", "Message")
DEFAULT_BASE_URL = "https://slack.com"
DEFAULT_PAGE_SIZE = 200
MOST_PER_PAGE = 999
DEFAULT_LOOK_BACK_HOURS = 24
DEFAULT_CHANNEL_TYPES = "public_channel,private_channel"
DEFAULT_BOT_SCOPES = (
    "channels:history,channels:manage,channels:read,chat:write,groups:history,groups:read,groups:write,"
    "metadata.message:read,users:read,users:read.email"
)
DEFAULT_USER_SCOPES = f"{DEFAULT_BOT_SCOPES},users.profile:write"

ARGUMENTS = {
    "channels": "ids of the channels whose messages are synced (default: all that the app is a member of)",
    "defaultChannel": "id of the channel that new messages without one go to (default: the only one of channels)",
    "appId": "the app's id: messages with it are our own writes",
    "botId": "the bot's id: messages with it are our own writes",
    "teamId": "the workspace's id: events of another are ignored",
    "pageSize": f"records per page, 1 to {MOST_PER_PAGE} (default {DEFAULT_PAGE_SIZE}, as Slack recommends)",
    "historyLookbackHours": "how far each pass reads messages again, to see edits that no event told"
    f" (default {DEFAULT_LOOK_BACK_HOURS}; 0 for none)",
    "channelTypes": f"kinds of channels (default {DEFAULT_CHANNEL_TYPES})",
    "tokenType": "bot (default) or user: whose token is used; only a user's may change profiles",
    "scopes": "OAuth scopes asked for, parted by commas",
    "baseUrl": f"Slack's address (default {DEFAULT_BASE_URL})",
}
"""Connection settings, all optional."""


def base_url_of(connection: Connection | None) -> str:
    """Where Slack is."""
    settings = connection.settings if connection else {}
    return str(settings.get("baseUrl") or DEFAULT_BASE_URL).rstrip("/")


def channels(connection: Connection) -> list[str]:
    """The channels whose messages are wanted, in order; empty for all. Raises :class:`ConfigurationError`."""
    given = connection.settings.get("channels") or []
    if not isinstance(given, list):
        raise ConfigurationError("channels: a list of channel ids is needed")
    return sorted({_channel("channels", one) for one in given})


def default_channel(connection: Connection) -> str | None:
    """Where a new message without a channel goes. Raises :class:`ConfigurationError`."""
    given = connection.settings.get("defaultChannel")
    if given:
        return _channel("defaultChannel", given)
    wanted = channels(connection)
    return wanted[0] if len(wanted) == 1 else None


def channel_types(connection: Connection) -> str:
    """For ``conversations.list``. Raises :class:`ConfigurationError`."""
    given = connection.settings.get("channelTypes") or DEFAULT_CHANNEL_TYPES
    names = given if isinstance(given, list) else str(given).split(",")
    if not names or set(names) - set(DEFAULT_CHANNEL_TYPES.split(",")):
        raise ConfigurationError(f"channelTypes: some of {DEFAULT_CHANNEL_TYPES} are needed")
    return ",".join(names)


def page_size(connection: Connection) -> int:
    """Records per page, kept within what Slack allows. Raises :class:`ConfigurationError`."""
    return int(min(max(_number(connection, "pageSize", DEFAULT_PAGE_SIZE), 1), MOST_PER_PAGE))


def look_back_hours(connection: Connection) -> float:
    """Hours of messages that each pass reads again. Raises :class:`ConfigurationError`."""
    return _number(connection, "historyLookbackHours", DEFAULT_LOOK_BACK_HOURS)


def uses_user_token(connection: Connection | None) -> bool:
    """Whether the connection acts as the person who authorised it. Raises :class:`ConfigurationError`."""
    kind = (connection.settings if connection else {}).get("tokenType") or "bot"
    if kind not in ("bot", "user"):
        raise ConfigurationError("tokenType: bot or user")
    return bool(kind == "user")


def _number(connection: Connection, name: str, default: int) -> float:
    given = connection.settings.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1_000_000:
        raise ConfigurationError(f"{name}: a number, 0 or more, is needed")
    return float(given)


def _channel(setting: str, given: Any) -> str:
    if not isinstance(given, str) or not is_channel_id(given):
        raise ConfigurationError(f"{setting}: not the id of a channel")
    return given
