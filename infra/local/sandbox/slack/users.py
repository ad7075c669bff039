"""`users.*`: list, info, profile.

Sources: https://docs.slack.dev/reference/methods/users.list, …/users.info, …/users.profile.set
"""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.slack.errors import ApiError
from infra.local.sandbox.slack.names import ADMIN_ID, NAME
from infra.local.sandbox.slack.paging import cursor_of, position_of
from infra.local.sandbox.slack.rows import Rows, Writer
from infra.local.sandbox.slack.shapes import user_shape
from infra.local.sandbox.slack.web_api import Call, Method

JsonObject = dict[str, Any]


class Users:
    """The methods over users."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def methods(self) -> list[Method]:
        return [
            Method("users.list", self._list, ("users:read",)),
            Method("users.info", self._info, ("users:read",)),
            Method("users.profile.set", self._set, ("users.profile:write",), user_only=True),
        ]

    async def _list(self, call: Call) -> JsonObject:
        limit = call.arguments.number("limit", 1000, 1000)
        cursor = call.arguments.text("cursor")
        start = position_of("user", cursor) if cursor else ""
        store = self._rows.store
        found = store.find(NAME, "User", "id>=?", (start,), f"ORDER BY id LIMIT {limit + 1}")
        following = cursor_of("user", found[limit].id) if len(found) > limit else ""
        email = "users:read.email" in call.scopes
        return {
            "members": [user_shape(record, with_email=email) for record in found[:limit]],
            "cache_ts": store.clock.now_ms() // 1000,
            "response_metadata": {"next_cursor": following},
        }

    async def _info(self, call: Call) -> JsonObject:
        record = self._rows.get("User", call.arguments.text("user", needed=True))
        if record is None:
            raise ApiError("user_not_found")
        return {"user": user_shape(record, with_email="users:read.email" in call.scopes)}

    async def _set(self, call: Call) -> JsonObject:
        profile = call.arguments.structure("profile", "invalid_profile")
        if profile is None and call.arguments.has("name"):
            profile = {call.arguments.text("name"): call.arguments.text("value")}
        if not isinstance(profile, dict) or not profile:
            raise ApiError("invalid_profile")
        user = call.arguments.text("user") or call.user
        if user != call.user and call.user != ADMIN_ID:
            raise ApiError("not_admin")
        if "email" in profile and "@" not in str(profile["email"]):
            raise ApiError("invalid_email")
        texts = {n: "" if v is None else v for n, v in profile.items()}
        record = self._rows.set_profile(user, texts, Writer(call.user, "api", meets_faults=True))
        return {"username": record.data["name"], "profile": record.data["profile"]}
