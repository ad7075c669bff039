"""A push's calls of the provider: each create marked before its call, what was done remembered after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.domain.conversion import to_external
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan
from castiel.errors import CastielError, ConversionFailed, LeaseLost, ProviderUnavailable
from castiel.ports.coordination import Lease, Marks
from castiel.services.push_record import PushRecorder
from castiel.services.push_work import PushWork, lease_name

CREATE_MARK_SECONDS = 7 * 86_400.0


class PushCalls:
    """Carries out plans, in the provider's own batches."""

    def __init__(self, marks: Marks, recorder: PushRecorder) -> None:
        self._marks = marks
        self._recorder = recorder

    async def begun(self, work: PushWork, plans: Sequence[PushPlan]) -> list[PushPlan]:
        """Those of the plans whose shard has a create that was begun and may have arrived."""
        keys = {work.create_key(plan): plan for plan in plans}
        found = await self._marks.get_many(list(keys)) if keys else {}
        return [keys[key] for key in found]

    async def carry_out(self, work: PushWork, plans: Sequence[PushPlan], held: Mapping[str, Lease]) -> None:
        """The provider calls of one operation, and what they came to, remembered in one go."""
        ready: list[tuple[PushPlan, dict[str, Any]]] = []
        for plan in plans:
            if plan.nothing_to_do:
                work.end(plan, None)
            elif held[lease_name(work.connection.tenant_id, plan.shard.id)].lost:
                work.fail(plan, LeaseLost())
            else:
                try:
                    ready.append((plan, _fields(work, plan)))
                except ConversionFailed as error:
                    work.fail(plan, error)
        if not ready:
            return
        begun = await self._begin_creates(work, [plan for plan, _ in ready])
        todo = [
            (plan, _record(work, plan, fields, began_before=plan.shard.id not in begun))
            for plan, fields in ready
        ]
        outcomes = await _call(work, [record for _, record in todo])
        done = [(plan, outcome) for (plan, _), outcome in zip(todo, outcomes, strict=True)]
        errors = await self._recorder.remember(
            work.connection, work.entity, [(plan, outcome) for plan, outcome in done if outcome.ok]
        )
        await self.end_creates(
            work, [plan for plan, outcome in done if _settled(plan, outcome, errors, begun)]
        )
        for plan, outcome in done:
            unsaved = errors.get(plan.shard.id)
            if unsaved is not None:
                outcome = PushOutcome(plan.shard.id, outcome.external_id, error=unsaved)
            work.end(plan, outcome)

    async def _begin_creates(self, work: PushWork, plans: Sequence[PushPlan]) -> set[str]:
        """Mark each create before its call. Returns the shards whose mark is new.

        A mark that was there says that a create may have arrived without us knowing (a crash, or an answer that
        never came), whichever message it came by.
        """
        creates = {
            work.create_key(plan): plan.shard.id for plan in plans if plan.operation is Operation.CREATE
        }
        return {creates[key] for key in await self._marks.claim_many(creates, seconds=CREATE_MARK_SECONDS)}

    async def end_creates(self, work: PushWork, plans: Sequence[PushPlan]) -> None:
        """Their records are known, or were not made: nothing is under way any more."""
        await self._marks.delete_many([work.create_key(plan) for plan in plans])


def _settled(
    plan: PushPlan, outcome: PushOutcome, errors: Mapping[str, CastielError], begun: Collection[str]
) -> bool:
    """Whether a create's mark may go: its record is known, or certainly was not made.

    A refusal says so only of a first try. Where the mark was there before, what was refused may have been the look
    for the record of an earlier try.
    """
    if plan.operation is not Operation.CREATE or plan.shard.id in errors:
        return False
    return outcome.ok or (plan.shard.id in begun and not isinstance(outcome.error, ProviderUnavailable))


async def _call(work: PushWork, records: Sequence[PushRecord]) -> list[PushOutcome]:
    try:
        if records[0].operation is Operation.DELETE:
            return await work.adapter.delete(work.entity.entity, records)
        return await work.adapter.push(work.entity.entity, records)
    except CastielError as error:
        return [PushOutcome(record.key, error=error) for record in records]


def _fields(work: PushWork, plan: PushPlan) -> dict[str, Any]:
    if plan.operation is Operation.DELETE:
        return {}
    if plan.operation is Operation.CREATE:
        return to_external(work.schema, plan.values)
    return to_external(work.schema, plan.shard.fields, only=plan.values.keys())


def _record(work: PushWork, plan: PushPlan, fields: dict[str, Any], *, began_before: bool) -> PushRecord:
    creating = plan.operation is Operation.CREATE
    return PushRecord(
        key=plan.shard.id,
        operation=plan.operation,
        fields=fields,
        external_id=plan.external_id,
        version=plan.reference.version if plan.reference else None,
        retrying=creating and (began_before or work.tries.get(plan.shard.id, 0) > 0),
    )
