"""Who is who in the workspace, and how ids look."""

from __future__ import annotations

NAME = "slack"
TEAM_ID = "T061EG9R6"
TEAM_NAME = "Castiel Sandbox"
TEAM_DOMAIN = "castiel-sandbox"
APP_ID = "A061APP01"
BOT_ID = "B061BOT01"
BOT_USER_ID = "U061BOT01"
ADMIN_ID = "U061ADMIN"
"""Who installed the app: the workspace's primary owner."""

ENTITIES = ("User", "Channel", "Message")
_PREFIXES = {"User": "U0", "Channel": "C0"}
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def make_id(entity: str, number: int) -> str:
    """`U0…` or `C0…` with a number in base 32: as Slack's ids look, in order of their making."""
    text = ""
    for _ in range(7):
        number, digit = divmod(number, 32)
        text = _DIGITS[digit] + text
    return _PREFIXES[entity] + text


def message_id(channel: str, ts: str) -> str:
    """A message is known by its channel and its timestamp together."""
    return f"{channel}:{ts}"
