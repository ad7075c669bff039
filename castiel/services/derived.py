"""Derived shards: made from primary ones, found by their key, linked both ways, kept while anything links to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from castiel.domain.conversion import DerivedRecord
from castiel.domain.json_values import is_empty, same
from castiel.domain.messages import Operation
from castiel.domain.shards import DERIVED, PRIMARY, Shard, ShardKind, ShardLink, derived_shard_id
from castiel.errors import AlreadyExists, CastielError, Conflict, DocumentTooLarge
from castiel.ports.clock import Clock
from castiel.ports.stores import ShardStore
from castiel.services.drafts import Draft, PullContext
from castiel.services.outbox import Outbox

MAX_WRITE_ROUNDS = 8
MAX_BACK_LINKS = 1000
"""A company's shard names so many of its people. The links from the people are complete."""

Wanted = dict[str, list[tuple[Draft, DerivedRecord]]]


class DerivedShards:
    """Saved before the primary shards: a crash in between is mended by the same page done again."""

    def __init__(self, shards: ShardStore, outbox: Outbox, clock: Clock) -> None:
        self._shards = shards
        self._outbox = outbox
        self._clock = clock

    async def save(
        self, context: PullContext, drafts: Sequence[Draft]
    ) -> tuple[list[Shard], Mapping[str, CastielError]]:
        """Make, change and release what the drafts' records derive.

        Returns the shards that were written, and, by the id of its own shard, why a draft can't be saved: what it
        derives is too large.
        """
        tenant = context.connection.tenant_id
        wanted: Wanted = defaultdict(list)
        released: dict[str, list[Draft]] = defaultdict(list)
        for draft in drafts:
            for shard_id in _relink(tenant, draft, wanted):
                released[shard_id].append(draft)
        written, too_large = await self._make(context, wanted)
        refused = {draft.shard.id: error for key, error in too_large.items() for draft, _ in wanted[key]}
        kept = {key: [d for d in leaving if d.shard.id not in refused] for key, leaving in released.items()}
        return written + await self._release(context, kept, wanted.keys()), refused

    async def _make(
        self, context: PullContext, wanted: Wanted
    ) -> tuple[list[Shard], dict[str, CastielError]]:
        written: list[Shard] = []
        too_large: dict[str, CastielError] = {}
        todo = set(wanted)
        for _ in range(MAX_WRITE_ROUNDS):
            if not todo:
                return written, too_large
            tenant = context.connection.tenant_id
            stored = {shard.id: shard for shard in await self._shards.get_many(tenant, todo)}
            # What became part of another shard is that one's to say.
            todo -= {shard.id for shard in stored.values() if shard.merged_into is not None}
            changed = [
                shard
                for shard_id in sorted(todo)
                if (shard := self._made(context, shard_id, stored.get(shard_id), wanted[shard_id]))
            ]
            todo = await self._write(changed, written, too_large)
        raise Conflict("derived shards keep changing under us")

    async def _write(
        self, changed: Sequence[Shard], written: list[Shard], too_large: dict[str, CastielError]
    ) -> set[str]:
        again: set[str] = set()
        for outcome in await self._shards.save(changed):
            if isinstance(outcome.error, Conflict | AlreadyExists):
                again.add(outcome.shard.id)
            elif isinstance(outcome.error, DocumentTooLarge):
                too_large[outcome.shard.id] = outcome.error
            elif isinstance(outcome.error, CastielError):
                raise outcome.error
            else:
                written.append(outcome.shard)
        return again

    def _made(
        self,
        context: PullContext,
        shard_id: str,
        stored: Shard | None,
        sources: Sequence[tuple[Draft, DerivedRecord]],
    ) -> Shard | None:
        """The shard as it must be, or ``None`` when it is so already."""
        if stored is not None and stored.deleted and not any(draft.changed for draft, _ in sources):
            return None  # a record that comes back unchanged brings nothing back
        now, record = self._clock.now(), sources[0][1]
        shard = stored or Shard(
            id=shard_id,
            tenant_id=context.connection.tenant_id,
            shard_type=record.shard_type,
            kind=ShardKind.DERIVED,
            created_at=now,
            updated_at=now,
            created_in=context.execution_id,
        )
        values = _news(context, shard, sources)
        links = _back_links(shard, [draft.shard for draft, _ in sources])
        if stored is not None and not values and not links and not shard.deleted:
            return None
        revived, shard.deleted, shard.deleted_at = shard.deleted, False, None
        shard.links = [*shard.links, *links]
        shard.set_fields(values, context.connection.id, now, context.execution_id)
        audience = context.derived[shard.shard_type]
        audience.index(shard, values if stored else None)
        if values or revived or stored is None:
            operation = Operation.UPDATE if stored else Operation.CREATE
            targets = audience.others(context.connection.id)
            self._outbox.announce(shard, targets, operation, sorted(values), context.execution_id)
        return shard

    async def _release(
        self, context: PullContext, released: Mapping[str, Sequence[Draft]], kept: Collection[str]
    ) -> list[Shard]:
        written: list[Shard] = []
        tenant = context.connection.tenant_id
        for shard_id, drafts in released.items():
            leaving = {draft.shard.id for draft in drafts if not draft.shard.is_linked_to(DERIVED, shard_id)}
            if not leaving:
                continue
            for _ in range(MAX_WRITE_ROUNDS):
                found = await self._shards.get_many(tenant, [shard_id])
                if not found or not await self._unlink(context, found[0], leaving, shard_id in kept):
                    break
                # One that is too large to be written smaller keeps a link too many.
                if not await self._write(found, written, {}):
                    break
            else:
                raise Conflict("a derived shard keeps changing under us")
        return written

    async def _unlink(self, context: PullContext, shard: Shard, leaving: Collection[str], kept: bool) -> bool:
        """Forget the primaries that leave, and the shard with the last of them. Returns whether that changes it."""
        left = [link for link in shard.links if link.relation != PRIMARY or link.shard_id not in leaving]
        changed = len(left) < len(shard.links)
        shard.links = left
        lonely = (
            not kept
            and not shard.deleted
            and shard.kind is ShardKind.DERIVED
            and not any(link.relation == PRIMARY for link in left)
        )
        # The links from primaries are the truth: the ones back may have been cut short.
        if lonely and not await self._linked_by_others(shard, leaving):
            now = self._clock.now()
            shard.deleted, shard.deleted_at = True, now
            targets = await self._outbox.targets(shard.tenant_id, shard.shard_type)
            self._outbox.announce(shard, targets, Operation.DELETE, [], context.execution_id)
            changed = True
        if changed:
            shard.updated_at, shard.updated_in = self._clock.now(), context.execution_id
        return changed

    async def _linked_by_others(self, shard: Shard, leaving: Collection[str]) -> bool:
        linking = await self._shards.linking_to(shard.tenant_id, shard.id, limit=len(leaving) + 1)
        return bool(set(linking) - set(leaving))


def _relink(tenant_id: str, draft: Draft, wanted: Wanted) -> set[str]:
    """Set the draft's links anew for the records that came in. Returns what they no longer link to."""
    released: set[str] = set()
    for via, records in draft.derived.items():
        before = {link.shard_id for link in draft.shard.linked(DERIVED) if link.via == via}
        now = {derived_shard_id(tenant_id, r.shard_type, r.key): r for r in records}
        for shard_id, record in now.items():
            wanted[shard_id].append((draft, record))
        if before == now.keys():
            continue
        kept = [link for link in draft.shard.links if (link.relation, link.via) != (DERIVED, via)]
        draft.shard.links = kept + [
            ShardLink(relation=DERIVED, shard_id=shard_id, shard_type=record.shard_type, via=via)
            for shard_id, record in now.items()
        ]
        draft.changed = True
        released |= before - now.keys()
    return released


def _news(
    context: PullContext, shard: Shard, sources: Sequence[tuple[Draft, DerivedRecord]]
) -> dict[str, Any]:
    """What the sources say that the shard doesn't: gaps they fill, and what came from this connection before.

    What a person set here, another connection said or the shard's own record says stays.
    """
    said: dict[str, Any] = {}
    for _, record in sources:
        said.update({name: value for name, value in record.fields.items() if not is_empty(value)})

    def ours(name: str) -> bool:
        origin = shard.field_origins.get(name)
        mine = origin is None or origin.source == context.connection.id
        return is_empty(shard.fields.get(name)) or (mine and shard.kind is ShardKind.DERIVED)

    return {
        name: value for name, value in said.items() if ours(name) and not same(shard.fields.get(name), value)
    }


def _back_links(shard: Shard, primaries: Sequence[Shard]) -> list[ShardLink]:
    known = {link.shard_id for link in shard.linked(PRIMARY)}
    new = {primary.id: primary for primary in primaries if primary.id not in known}
    room = max(0, MAX_BACK_LINKS - len(known))
    return [
        ShardLink(relation=PRIMARY, shard_id=primary.id, shard_type=primary.shard_type)
        for primary in list(new.values())[:room]
    ]
