"""What a complete full pass did not see is gone: deleted here too, but never many without a person's word."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

from castiel.adapters.base import ExternalRecord
from castiel.domain.deletions import DeletionDecision, decide_deletions
from castiel.domain.parked import ParkedConflict, ParkedKind, conflict_id
from castiel.domain.tasks import FullPass, Progress
from castiel.errors import ConfigurationError, NotFound
from castiel.ports.clock import Clock
from castiel.ports.short_memory import SeenRecords
from castiel.ports.stores import ConflictStore, ConnectionStore, LiveReference, ShardStore
from castiel.services.drafts import PullContext
from castiel.services.sync_engine import BidirectionalSyncEngine

logger = logging.getLogger(__name__)

KEPT_SECONDS = 86_400.0
"""What a pass has seen is remembered so long after its last page."""
ASKED_SECONDS = 7 * 86_400.0
"""How long a person has time to confirm."""
SKEW = timedelta(minutes=1)
"""Workers' clocks differ by less."""
BATCH = 500


class _ForgottenError(Exception):
    """What the pass has seen is no longer known."""


class DeletionGuard:
    """Remembers what a full pass sees, and deletes the rest after it. See docs/adr/0007-what-a-full-pass-has-seen.md."""

    def __init__(
        self,
        connections: ConnectionStore,
        shards: ShardStore,
        seen: SeenRecords,
        conflicts: ConflictStore,
        engine: BidirectionalSyncEngine,
        clock: Clock,
        *,
        percent: float,
    ) -> None:
        """``percent``: the share of an entity's records that one pass may delete by itself."""
        self._connections = connections
        self._shards = shards
        self._seen = seen
        self._conflicts = conflicts
        self._engine = engine
        self._clock = clock
        self._percent = percent

    async def begin(self, context: PullContext, started_at: datetime) -> FullPass:
        """A full pass begins. ``started_at``: before its first page was asked for."""
        name = (
            f"{context.execution_id}:{context.connection.id}:{context.entity.entity}:{self._clock.new_id()}"
        )
        stored = await self._shards.count(context.connection.tenant_id, context.entity.shard_type)
        await self._seen.begin(name, expected=2 * stored, seconds=KEPT_SECONDS)
        return FullPass(id=name, started_at=started_at)

    async def saw(self, full_pass: FullPass, records: Sequence[ExternalRecord]) -> FullPass | None:
        """Remember a page. ``None``: what was seen before is forgotten, so the pass may delete nothing."""
        ids = [record.external_id for record in records if not record.deleted]
        if not await self._seen.add(full_pass.id, ids, seconds=KEPT_SECONDS):
            logger.warning("full pass: what it has seen is forgotten", extra={"fullPass": full_pass.id})
            return None
        return full_pass.model_copy(update={"seen": full_pass.seen + len(ids)})

    async def end(
        self, context: PullContext, full_pass: FullPass, time_left: Callable[[], bool]
    ) -> tuple[Progress, bool]:
        """The pass is complete: delete what it didn't see, or ask. Returns what that came to, and whether it is done.

        ``time_left`` raises when it is no longer our work. Without time left some is deleted all the same, so that
        called again it comes to an end.
        """
        known = unseen = 0
        try:
            async for some_known, ids in self._walk(context, full_pass):
                known, unseen = known + some_known, unseen + len(ids)
            decision = decide_deletions(
                known=known, unseen=unseen, seen=full_pass.seen, percent=self._percent
            )
            done = Progress()
            if decision is DeletionDecision.ASK:
                await self._ask(context, full_pass, known, unseen)
            else:
                if decision is DeletionDecision.DELETE:
                    done, complete = await self._delete(context, full_pass, time_left)
                    if not complete:
                        return done, False
                await self._seen.forget(full_pass.id)
                await self._conflicts.delete(context.connection.tenant_id, _note_id(context))
        except _ForgottenError:
            return _told(context, Progress(), "forgotten", known, unseen), True
        return _told(context, done, decision.value, known, unseen), True

    async def confirm(self, tenant_id: str, note_id: str, *, correlation_id: str) -> Progress:
        """A person agrees: delete what that pass didn't see and nothing has been heard of since.

        Raises :class:`NotFound` when there is nothing to confirm, or too much time has passed: then a new full pass
        has to look again.
        """
        note = await self._conflicts.get(tenant_id, note_id)
        if note.kind is not ParkedKind.DELETIONS or note.full_pass is None:
            raise NotFound("nothing to confirm: it is no question about deletions")
        connection = await self._connections.get(tenant_id, note.connection_id)
        entity = connection.entity(note.entity)
        if entity is None:
            raise ConfigurationError(f"connection {connection.id}: it no longer carries {note.entity}")
        context = await self._engine.context(connection, entity, correlation_id)
        try:
            done, _ = await self._delete(context, note.full_pass, lambda: True)
        except _ForgottenError:
            raise NotFound(
                "what the full pass saw is no longer known: let a new one run, and confirm that"
            ) from None
        await self._seen.forget(note.full_pass.id)
        await self._conflicts.delete(tenant_id, note_id)
        return done

    async def decline(self, tenant_id: str, note_id: str) -> None:
        """A person disagrees: nothing is deleted; the next full pass asks again."""
        note = await self._conflicts.get(tenant_id, note_id)
        if note.full_pass is not None:
            await self._seen.forget(note.full_pass.id)
        await self._conflicts.delete(tenant_id, note_id)

    async def _delete(
        self, context: PullContext, full_pass: FullPass, time_left: Callable[[], bool]
    ) -> tuple[Progress, bool]:
        done = Progress()
        async for _, ids in self._walk(context, full_pass):
            if not time_left() and done.records_deleted:
                return done, False
            gone = [
                ExternalRecord(context.entity.entity, external_id, {}, deleted=True) for external_id in ids
            ]
            done.add(await self._engine.pull(context, gone))
        return done, True

    async def _walk(self, context: PullContext, full_pass: FullPass) -> AsyncIterator[tuple[int, list[str]]]:
        """Per some references of the entity: how many are live, and which of their records the pass didn't see."""
        page: list[LiveReference] = []
        connection, entity = context.connection, context.entity
        known = self._shards.references_to(
            connection.tenant_id, entity.shard_type, connection.id, entity.entity
        )
        async for reference in known:
            page.append(reference)
            if len(page) == BATCH:
                yield len(page), await self._unseen(full_pass, page)
                page = []
        if page:
            yield len(page), await self._unseen(full_pass, page)

    async def _unseen(self, full_pass: FullPass, live: Sequence[LiveReference]) -> list[str]:
        # What came or went while the pass ran may have been too late to be in it.
        since = full_pass.started_at - SKEW
        heard_of = {
            reference.external_id
            for reference in live
            if any(at is not None and at >= since for at in (reference.pulled_at, reference.pushed_at))
        }
        ids = [reference.external_id for reference in live]
        unseen = await self._seen.unseen(full_pass.id, ids, seconds=ASKED_SECONDS)
        if unseen is None:
            raise _ForgottenError
        gone = unseen - heard_of
        return [external_id for external_id in ids if external_id in gone]

    async def _ask(self, context: PullContext, full_pass: FullPass, known: int, unseen: int) -> None:
        reason = "the pass showed no record at all" if full_pass.seen == 0 else "more than may go unasked"
        logger.warning(
            "deletions wait for a person",
            extra={"entity": context.entity.entity, "known": known, "unseen": unseen},
        )
        await self._conflicts.put(
            ParkedConflict(
                id=_note_id(context),
                tenant_id=context.connection.tenant_id,
                kind=ParkedKind.DELETIONS,
                shard_type=context.entity.shard_type,
                integration_id=context.connection.integration_id,
                connection_id=context.connection.id,
                entity=context.entity.entity,
                full_pass=full_pass,
                known=known,
                unseen=unseen,
                reason=reason,
                detected_at=self._clock.now(),
                correlation_id=context.execution_id,
            )
        )


def _note_id(context: PullContext) -> str:
    """One question per connection's entity: a newer pass asks in the place of an older one."""
    return conflict_id("", context.connection.id, f"deletions of {context.entity.entity}")


def _told(context: PullContext, done: Progress, outcome: str, known: int, unseen: int) -> Progress:
    done.deletions = {
        context.entity.entity: {
            "outcome": outcome,
            "known": known,
            "unseen": unseen,
            "deleted": done.records_deleted,
        }
    }
    return done
