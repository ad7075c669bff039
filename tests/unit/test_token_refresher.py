"""TokenRefresher over fakes: horizon, lanes, failures, continuations, audit."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from castiel.adapters.registry import ProviderRegistry
from castiel.domain.credentials import Credential, TokenSecret
from castiel.domain.refresh_runs import KIND, RESULTS_PER_DOCUMENT, split_audit
from castiel.domain.results import RefreshAudit, RefreshResult
from castiel.errors import InvalidMessage, ProviderRateLimited, ProviderUnavailable
from castiel.functions.token_refresher import TokenRefresher
from castiel.ports.messaging import ReceivedMessage
from castiel.services.credentials.lanes import FAILURES_TO_CLOSE
from tests.support.credentials import World
from tests.support.fakes.authorization_server import AuthorizationServer, Semantics, provider_with
from tests.support.fakes.coordination import MemoryQueue
from tests.support.fakes.documents import MemoryRefreshAudit

HOUR = timedelta(hours=1)


class NoRotation:
    """No secret has to be rotated."""

    runs = 0

    async def run(self) -> None:
        self.runs += 1


class Refresher:
    """TokenRefresher in a world, with its queue and its audit."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.queue = MemoryQueue("sync-inbound")
        self.audit = MemoryRefreshAudit()
        self.service = world.process()
        self.function = TokenRefresher(
            world.credentials,
            self.service,
            self.audit,
            NoRotation(),  # type: ignore[arg-type]
            self.queue,
            world.clock,
            threshold=HOUR,
            interval=6 * HOUR,
            keep_alive=timedelta(days=7),
            max_retries=3,
            **{"time_budget_seconds": 480, "per_second": 25, **options},
        )

    async def run_to_the_end(self) -> list[RefreshAudit]:
        """The run and its continuations, as the queue delivers them."""
        audits = [await self.function.run()]
        while self.queue.sent:
            message = self.queue.sent.pop(0)
            if message.due and message.due > self.world.clock.now():
                self.world.clock.advance((message.due - self.world.clock.now()).total_seconds())
            received = ReceivedMessage(
                message.body.encode(), message.message_id, properties=message.properties
            )
            audits.append(await self.function.go_on(received))
        return audits


async def plant_many(world: World, count: int, *, integration: str = "salesforce", **fields: object) -> None:
    """Credentials without connections, due within the hour."""
    expiry = world.clock.now() + HOUR
    for number in range(count):
        token = world.server.grant()
        name = f"{integration}-{number:05d}"
        await world.vault.set(f"credential-{name}", token.to_json_text())
        values = {
            "id": name,
            "tenant_id": f"tenant-{number % 7}",
            "integration_id": integration,
            "secret_name": f"credential-{name}",
            "expiry_time": expiry,
            **fields,
        }
        await world.credentials.create(Credential.model_validate(values))


async def world_with(count: int, **fields: object) -> World:
    world = World(Semantics.ROTATES_AT_ONCE)
    await world.vault.set("oauth-client-salesforce", '{"clientId": "made-up-app"}')
    await plant_many(world, count, **fields)
    return world


async def test_what_expires_before_the_next_run_is_refreshed_and_nothing_else() -> None:
    world = await world_with(3)
    await plant_many(
        world, 1, integration="late", expiry_time=world.clock.now() + timedelta(hours=7, seconds=1)
    )
    await plant_many(world, 1, integration="off", enabled=False)
    await plant_many(world, 1, integration="dead", needs_reauth=True)

    audit = await Refresher(world).function.run()

    assert (audit.total_attempted, audit.successful, audit.failed) == (3, 3, 0)
    assert {result.integration_id for result in audit.results} == {"salesforce"}
    for result in audit.results:
        assert result.new_expiry_time is not None
        assert result.new_expiry_time > datetime(2025, 12, 10, 13, 0, tzinfo=UTC)


async def test_one_bad_credential_never_stops_the_others(caplog: pytest.LogCaptureFixture) -> None:
    world = await world_with(6)
    await world.vault.set("credential-salesforce-00001", "no token pair")
    await world.vault.delete("credential-salesforce-00002")
    strange = await world.credentials.get("tenant-3", "salesforce-00003")
    strange.integration_id = "nobody-knows-it"
    await world.credentials.replace(strange)
    world.server.errors = [RuntimeError("a bug with made-up-access-token-00001 in its text")]

    audit = await Refresher(world, concurrency=1).function.run()

    assert (audit.successful, audit.failed) == (2, 4)
    codes = sorted(result.error_code or "" for result in audit.results if not result.success)
    assert codes == ["ConfigurationError", "ConfigurationError", "ConfigurationError", "RuntimeError"]
    unexpected = [r for r in caplog.records if r.getMessage() == "token refresh failed unexpectedly"]
    assert len(unexpected) == 1
    failed = [r for r in caplog.records if "failed" in r.getMessage() and r.levelno == logging.ERROR]
    assert {r.__dict__["credentialId"] for r in failed} == {
        result.credential_id for result in audit.results if not result.success
    }


async def test_a_timeout_is_tried_four_times_with_growing_pauses() -> None:
    world = await world_with(1)
    world.server.errors = [ProviderUnavailable("no answer in time")] * 3
    audit = await Refresher(world).function.run()
    assert (audit.successful, audit.results[0].attempts) == (1, 4)
    world = await world_with(1)
    world.server.errors = [ProviderUnavailable("no answer in time")] * 4
    audit = await Refresher(world).function.run()
    assert (audit.failed, audit.results[0].error_code) == (1, "ProviderUnavailable")


@pytest.mark.parametrize(("retry_after", "pause"), [(None, 60.0), (17.0, 17.0)])
async def test_a_rate_limit_is_waited_for(retry_after: float | None, pause: float) -> None:
    world = await world_with(1)
    world.server.errors = [ProviderRateLimited("429", retry_after=retry_after)]
    audit = await Refresher(world).function.run()
    assert audit.successful == 1
    assert pause in world.clock.slept


async def test_a_dead_grant_is_counted_and_not_tried_again() -> None:
    world = await world_with(2)
    world.server.live.pop()
    refresher = Refresher(world)
    audit = await refresher.function.run()
    assert (audit.successful, audit.failed) == (1, 1)
    assert [r.needs_reauth for r in audit.results if not r.success] == [True]
    world.clock.advance(6 * 3600)
    assert (await refresher.function.run()).total_attempted == 1


async def test_a_provider_that_is_away_does_not_hold_up_another() -> None:
    world = await world_with(3)
    away = AuthorizationServer(Semantics.KEEPS, world.clock)
    away.errors = [ProviderUnavailable("no connection")] * 1000
    world.providers = ProviderRegistry([provider_with(world.server), provider_with(away, "notion")])
    await world.vault.set("oauth-client-notion", '{"clientId": "made-up-app"}')
    await plant_many(world, FAILURES_TO_CLOSE + 30, integration="notion")
    refresher = Refresher(world, per_second=1000, provider_per_second=1000)

    audit = await refresher.function.run()

    by_provider = {i: [r for r in audit.results if r.integration_id == i] for i in ("salesforce", "notion")}
    assert [r.success for r in by_provider["salesforce"]] == [True] * 3
    # The lane closed: those it had not begun are left to a continuation, after a pause.
    assert FAILURES_TO_CLOSE <= len(by_provider["notion"]) < FAILURES_TO_CLOSE + 30
    assert audit.left == FAILURES_TO_CLOSE + 30 - len(by_provider["notion"])
    [message] = refresher.queue.sent
    assert message.due is not None
    assert message.due - world.clock.now() > timedelta(minutes=5)


async def test_tokens_without_an_expiry_are_kept_alive_and_lasting_ones_left_alone() -> None:
    world = await world_with(0)
    world.server.lifetime = None
    await plant_many(world, 2, expiry_time=None)
    lasting = TokenSecret(access_token=SecretStr("made-up-lasting-token"))
    await world.vault.set("credential-salesforce-00001", lasting.to_json_text())
    refresher = Refresher(world)

    audit = await refresher.function.run()
    assert audit.total_attempted == 2
    assert world.server.calls == 1
    assert (await world.credentials.get("tenant-1", "salesforce-00001")).refreshable is False

    world.clock.advance(timedelta(days=6).total_seconds())
    assert (await refresher.function.run()).total_attempted == 0
    world.clock.advance(timedelta(days=2).total_seconds())
    assert (await refresher.function.run()).total_attempted == 1
    assert world.server.calls == 2


async def test_what_the_time_does_not_allow_goes_on_by_a_message() -> None:
    world = await world_with(60)
    refresher = Refresher(world, per_second=1, provider_per_second=1, time_budget_seconds=25)

    audits = await refresher.run_to_the_end()

    assert len(audits) > 2
    assert sum(audit.successful for audit in audits) == 60
    assert sum(audit.failed for audit in audits) == 0
    assert world.server.calls == 60
    assert [audit.left is None for audit in audits] == [False] * (len(audits) - 1) + [True]
    assert len({audit.id for audit in audits}) == len(audits)
    assert {audit.correlation_id for audit in audits} == {audits[0].id}


async def test_a_continuation_does_not_begin_again_with_those_that_failed() -> None:
    world = await world_with(12)
    for number in range(3):
        await world.vault.set(f"credential-salesforce-{number:05d}", "no token pair")
    world.server.errors = [ProviderUnavailable("no answer in time")] * 4
    refresher = Refresher(world, per_second=1, provider_per_second=1, time_budget_seconds=8, concurrency=1)
    audits = await refresher.run_to_the_end()
    tried = [result.credential_id for audit in audits for result in audit.results]
    assert len(tried) == len(set(tried)) == 12
    failed = [result for audit in audits for result in audit.results if not result.success]
    assert len(failed) == 4


async def test_a_message_delivered_twice_refreshes_nothing_twice() -> None:
    world = await world_with(40)
    refresher = Refresher(world, per_second=1, provider_per_second=1, time_budget_seconds=20)
    await refresher.function.run()
    [message] = refresher.queue.sent
    assert message.properties["kind"] == KIND
    received = ReceivedMessage(message.body.encode(), message.message_id, properties=message.properties)
    await asyncio.gather(refresher.function.go_on(received), refresher.function.go_on(received))
    assert len({m.message_id for m in refresher.queue.sent[1:]}) <= 1
    assert all(credential.refresh_count <= 1 for credential in world.credentials.all())


async def test_a_continuation_that_nobody_can_read_is_refused() -> None:
    world = await world_with(0)
    with pytest.raises(InvalidMessage):
        await Refresher(world).function.go_on(ReceivedMessage(b"{}", "message-1"))


async def test_an_audit_that_can_not_be_written_does_not_fail_the_run() -> None:
    world = await world_with(2)
    refresher = Refresher(world)
    refresher.audit.down = True
    assert (await refresher.function.run()).successful == 2


async def test_a_list_that_breaks_off_is_gone_on_with_later() -> None:
    world = await world_with(2)
    refresher = Refresher(world)
    world.credentials.down = True
    audit = await refresher.function.run()
    assert audit.total_attempted == 0
    world.credentials.down = False
    [message] = refresher.queue.sent
    received = ReceivedMessage(message.body.encode(), message.message_id)
    assert (await refresher.function.go_on(received)).successful == 2


def test_the_results_of_a_great_run_are_split_over_documents_that_fit() -> None:
    results = [
        RefreshResult(
            credential_id=f"credential-with-a-long-id-{n:06d}",
            tenant_id=f"a-tenant-with-a-long-id-{n:06d}",
            integration_id="salesforce",
            success=False,
            error_code="ProviderUnavailable",
            duration=1234,
            attempts=4,
        )
        for n in range(10_000)
    ]
    audit = RefreshAudit(
        id="refresh-1",
        executed_at=datetime(2025, 12, 10, tzinfo=UTC),
        total_attempted=10_000,
        results=results,
    )
    documents = split_audit(audit)
    assert len(documents) == documents[0].parts == 10_000 // RESULTS_PER_DOCUMENT
    assert [r for d in documents for r in d.results] == results
    assert max(len(d.to_json_text()) for d in documents) < 1_000_000
    assert documents[0].total_attempted == 10_000
    assert [d.part_of for d in documents[1:]] == ["refresh-1"] * (len(documents) - 1)


@pytest.mark.slow
async def test_ten_thousand_due_at_once_are_done_within_budgets() -> None:
    """At the pace that Key Vault allows, on a clock that tests move."""
    world = await world_with(10_000)
    refresher = Refresher(world)
    audits = await refresher.run_to_the_end()
    assert sum(audit.successful for audit in audits) == 10_000
    assert world.server.calls == 10_000
    assert all(audit.duration < 600_000 for audit in audits)
    assert len(audits) > 1
