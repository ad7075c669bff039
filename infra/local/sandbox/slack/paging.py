"""Cursors: opaque texts that name the next page's first item.

Source: https://docs.slack.dev/apis/web-api/pagination
"""

from __future__ import annotations

import base64
import binascii

from infra.local.sandbox.slack.errors import ApiError


def cursor_of(kind: str, position: str) -> str:
    """`user:U061NFTT2` in base64, for example."""
    return base64.b64encode(f"{kind}:{position}".encode()).decode()


def position_of(kind: str, cursor: str) -> str:
    """The position a cursor names. Raises ApiError invalid_cursor."""
    try:
        found, _, position = base64.b64decode(cursor, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise ApiError("invalid_cursor") from None
    if found != kind or not position:
        raise ApiError("invalid_cursor")
    return position
