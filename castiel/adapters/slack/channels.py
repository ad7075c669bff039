"""Writing channels: create, rename, set topic and purpose, archive. Slack's apps can't delete a channel.

Sources: https://docs.slack.dev/reference/methods (conversations.create, .rename, .setTopic, .setPurpose, .archive)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from castiel.adapters.base import ExternalRecord, PushOutcome, PushRecord
from castiel.adapters.http import ApiClient
from castiel.adapters.slack.dialect import read, write
from castiel.adapters.slack.ids import is_channel_id
from castiel.adapters.slack.listing import Lister
from castiel.adapters.slack.records import an_object, channel_record
from castiel.adapters.slack.texts import escaped
from castiel.errors import ProviderRejected, RecordNotFound, SchemaMismatch

WRITABLE = ("name", "topic", "purpose", "is_private")


class Channels:
    """Writes channels for one connection."""

    def __init__(self, api: ApiClient, lister: Lister) -> None:
        self._api = api
        self._lister = lister

    async def create(self, record: PushRecord) -> PushOutcome:
        """Create a channel, unless an earlier try already did. Raises :class:`~castiel.errors.CastielError`."""
        fields = _checked(record.fields)
        if not fields.get("name"):
            raise SchemaMismatch("name: missing")
        body = {"name": fields["name"], "is_private": bool(fields.get("is_private"))}
        try:
            answer = await write(self._api, "conversations.create", body, "create", safe=False)
            channel = channel_record(an_object(answer, "channel"))
        except ProviderRejected as error:
            found = await self._made_before(record, error)
            if found is None:
                raise
            channel = found
        channel = await self._say(channel, fields, "create")
        return _outcome(record, channel)

    async def _made_before(self, record: PushRecord, error: ProviderRejected) -> ExternalRecord | None:
        """A name is taken once: after a lost answer the channel that has it is ours, if we created it."""
        if not record.retrying or error.provider_code != "name_taken":
            return None
        found = await self._lister.channel_named(str(record.fields.get("name")))
        if found is None or found.deleted:
            return None
        us = (await read(self._api, "auth.test")).get("user_id")
        return found if found.fields.get("creator") == us else None

    async def update(self, record: PushRecord) -> PushOutcome:
        """Rename a channel, set its topic and purpose. Raises :class:`~castiel.errors.CastielError`."""
        channel_id = _id(record)
        fields = _checked(record.fields)
        if "is_private" in fields:
            raise SchemaMismatch("can't be written: is_private, of a channel that is there")
        channel: ExternalRecord | None = None
        if fields.get("name"):
            body = {"channel": channel_id, "name": fields["name"]}
            answer = await write(self._api, "conversations.rename", body, "update")
            channel = channel_record(an_object(answer, "channel"))
        if channel is None:
            channel = ExternalRecord("Channel", channel_id, {})
        return _outcome(record, await self._say(channel, fields, "update"))

    async def archive(self, record: PushRecord) -> PushOutcome:
        """Archive a channel; one that is archived or gone already counts as done."""
        done = PushOutcome(record.key, record.external_id)
        try:
            await write(self._api, "conversations.archive", {"channel": _id(record)}, "delete")
        except RecordNotFound:
            return done
        except ProviderRejected as error:
            if error.provider_code in ("already_archived", "is_archived"):
                return done
            raise
        return done

    async def _say(
        self, channel: ExternalRecord, fields: Mapping[str, Any], operation: str
    ) -> ExternalRecord:
        """Topic and purpose have methods of their own, each of them repeatable."""
        for name, method in (("topic", "conversations.setTopic"), ("purpose", "conversations.setPurpose")):
            if name in fields and (fields[name] or operation == "update"):
                body = {"channel": channel.external_id, name: escaped(fields[name])}
                answer = await write(self._api, method, body, operation)
                if isinstance(answer.get("channel"), dict):
                    channel = channel_record(answer["channel"])
        return channel


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The writable fields, topic and purpose as texts. Raises :class:`SchemaMismatch`."""
    unknown = sorted(set(fields) - set(WRITABLE))
    if unknown:
        raise SchemaMismatch(f"can't be written: {', '.join(unknown)}")
    checked = dict(fields)
    for name in ("topic", "purpose"):
        if name in checked:
            said = checked[name]
            said = said.get("value") if isinstance(said, dict) else said
            checked[name] = "" if said is None else str(said)
    return checked


def _id(record: PushRecord) -> str:
    if not is_channel_id(record.external_id or ""):
        raise RecordNotFound("no channel has such an id")
    return str(record.external_id)


def _outcome(record: PushRecord, channel: ExternalRecord) -> PushOutcome:
    return PushOutcome(
        record.key,
        channel.external_id,
        version=channel.version,
        fields=channel.fields or None,
        modified_at=channel.modified_at,
    )
