"""Writing users: their profiles only, and only with a user's token. Slack's apps invite and remove nobody.

Source: https://docs.slack.dev/reference/methods/users.profile.set
"""

from __future__ import annotations

from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.http import ApiClient
from castiel.adapters.slack.dialect import write
from castiel.adapters.slack.ids import is_user_id
from castiel.adapters.slack.records import an_object
from castiel.errors import PermissionDenied, RecordNotFound, SchemaMismatch

PROFILE = (
    "first_name",
    "last_name",
    "real_name",
    "display_name",
    "email",
    "phone",
    "title",
    "pronouns",
    "status_text",
    "status_emoji",
    "status_expiration",
    "fields",
)
"""The members of a profile that can be set."""


class Users:
    """Writes profiles for one connection."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def create(self, record: PushRecord) -> PushOutcome:
        """Raises :class:`PermissionDenied`."""
        del record
        raise PermissionDenied("Slack lets no app create users: invite the person to the workspace")

    async def update(self, record: PushRecord) -> PushOutcome:
        """Set parts of a profile; ``None`` empties one. Raises :class:`~castiel.errors.CastielError`."""
        if not is_user_id(record.external_id or ""):
            raise RecordNotFound("no user has such an id")
        profile = record.fields.get("profile")
        unknown = sorted(set(record.fields) - {"profile"})
        if unknown:
            raise SchemaMismatch(f"can't be written: {', '.join(unknown)}")
        if not isinstance(profile, dict) or not profile:
            raise SchemaMismatch("profile: an object is needed")
        unknown = sorted(set(profile) - set(PROFILE))
        if unknown:
            raise SchemaMismatch(f"can't be written: {', '.join(f'profile.{name}' for name in unknown)}")
        body: dict[str, Any] = {
            "user": record.external_id,
            "profile": {name: "" if value is None else value for name, value in profile.items()},
        }
        answer = await write(self._api, "users.profile.set", body, "update")
        return PushOutcome(record.key, record.external_id, fields={"profile": an_object(answer, "profile")})

    async def delete(self, record: PushRecord) -> PushOutcome:
        """Raises :class:`PermissionDenied`."""
        del record
        raise PermissionDenied("Slack lets no app delete users: deactivate the person in the workspace")
