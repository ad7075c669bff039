"""Slack's ids. A message is known by its channel and its timestamp together: ``C024BE91L:1355517523.000005``.

Source: https://docs.slack.dev/apis/web-api/#types
"""

from __future__ import annotations

import re

_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,30}", re.ASCII)
_USER = re.compile(r"[UW][A-Z0-9]{2,30}", re.ASCII)
_TS = re.compile(r"\d{1,11}\.\d{6}", re.ASCII)


def is_channel_id(text: str) -> bool:
    """Whether a text has the form of a channel's id."""
    return _CHANNEL.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether a text has the form of a user's id."""
    return _USER.fullmatch(text) is not None


def is_ts(text: str) -> bool:
    """Whether a text is a message's timestamp, which is its id within the channel."""
    return _TS.fullmatch(text) is not None


def message_id(channel: str, ts: str) -> str:
    """The external id of a message."""
    return f"{channel}:{ts}"


def split_message_id(external_id: str) -> tuple[str, str] | None:
    """Channel and timestamp, or ``None`` where a text can't be a message's id."""
    channel, _, ts = external_id.partition(":")
    return (channel, ts) if is_channel_id(channel) and is_ts(ts) else None
