"""A create's mark stays for as long as its record may exist."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from castiel.adapters.base import PushOutcome
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan
from castiel.domain.shards import Shard
from castiel.errors import (
    CastielError,
    CircuitOpen,
    Conflict,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderUnavailable,
    RateLimited,
    SchemaMismatch,
)
from castiel.services.push_calls import _settled

NOW = datetime(2025, 12, 10, 13, tzinfo=UTC)


def plan(operation: Operation = Operation.CREATE) -> PushPlan:
    shard = Shard(id="contact-1", tenant_id="t", shard_type="contact", created_at=NOW, updated_at=NOW)
    return PushPlan(shard, operation, None)


def settled(error: CastielError | None, *, first_try: bool, unsaved: bool = False) -> bool:
    errors: dict[str, CastielError] = {"contact-1": Conflict()} if unsaved else {}
    outcome = PushOutcome("contact-1", None if error else "x1", error=error)
    return _settled(plan(), outcome, errors, {"contact-1"} if first_try else set())


@pytest.mark.parametrize("first_try", [True, False])
def test_a_stored_record_needs_no_mark(first_try: bool) -> None:
    assert settled(None, first_try=first_try)
    assert not settled(None, first_try=first_try, unsaved=True)


@pytest.mark.parametrize("error", [SchemaMismatch(), ProviderRateLimited(), RateLimited(), CircuitOpen()])
def test_a_refusal_ends_a_first_try_only(error: CastielError) -> None:
    assert settled(error, first_try=True)
    assert not settled(error, first_try=False)


@pytest.mark.parametrize("error", [ProviderUnavailable(), OutcomeUnknown()])
@pytest.mark.parametrize("first_try", [True, False])
def test_what_may_have_arrived_keeps_its_mark(error: CastielError, first_try: bool) -> None:
    assert not settled(error, first_try=first_try)


def test_only_creates_have_marks() -> None:
    assert not _settled(plan(Operation.UPDATE), PushOutcome("contact-1", "x1"), {}, set())
