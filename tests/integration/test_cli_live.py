"""``castiel limits | tail``: what is allowed and used, and what happens while it happens."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

import pytest

from castiel.bootstrap import Services
from castiel.domain.connections import Connection
from castiel.domain.parked import ParkedConflict
from castiel.domain.quota import Quota
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.webhooks import Registration, WebhookAudit
from tests.support.cli import Cli, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"
COMMON: dict[str, Any] = {"tenant_id": TENANT, "integration_id": "salesforce", "connection_id": "conn-sf"}


@pytest.fixture(scope="module")
def castiel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with running_cli(tmp_path_factory.mktemp("live"), planted=connect) as cli:
        yield cli


async def connect(services: Services) -> None:
    await services.stores.connections.create(
        Connection(id="conn-sf", tenant_id=TENANT, integration_id="salesforce", credential_id="cred-sf")
    )


def levels(castiel: Cli) -> dict[str, tuple[int, int, str]]:
    [shown] = castiel.json("limits", "show", "-t", TENANT)
    return {each["level"]: (each["used"], each["perMinute"], each["setBy"]) for each in shown["levels"]}


def test_limits_are_shown_set_for_a_tenant_or_a_connection_and_reset(castiel: Cli) -> None:
    async def call(services: Services) -> bool:
        connection = await services.stores.connections.get(TENANT, "conn-sf")
        decision = await services.limiter.check_rate_limit(TENANT, "salesforce", "fetch", connection, cost=4)
        return decision.allowed

    assert castiel.does(call) is True
    assert levels(castiel)["salesforce"] == (4, 300, "default")
    assert levels(castiel)["fetch"] == (4, 200, "default")
    castiel.json("limits", "set", "salesforce", "6", "-t", TENANT)
    castiel.json("limits", "set", "update", "7", "-t", TENANT, "--connection", "conn-sf")
    now = levels(castiel)
    assert (now["salesforce"], now["update"]) == ((4, 6, "tenant"), (0, 7, "connection"))
    # It holds at once for who reads it anew.
    assert castiel.does(call) is False
    named = {each["name"]: each for each in castiel.json("limits", "list", "-t", TENANT)}
    assert (named["salesforce"]["perMinute"], named["salesforce"]["own"]) == (6, True)

    unasked = castiel("limits", "reset", "-t", TENANT)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    castiel.json("limits", "reset", "-t", TENANT, "--yes")
    castiel.json("limits", "reset", "update", "-t", TENANT, "--connection", "conn-sf")
    assert [each for each in levels(castiel).values() if each[2] != "default"] == []
    for wrong in (["cows", "5"], ["fetch", "0"], ["salesforce", "5", "--connection", "conn-sf"]):
        assert castiel("limits", "set", *wrong, "-t", TENANT).code == 2, wrong
    assert castiel("limits", "set", "fetch", "5", "-t", TENANT, "--connection", "nobody").code == 3


def test_what_a_provider_said_is_shown(castiel: Cli) -> None:
    async def throttled(services: Services) -> None:
        connection = await services.stores.connections.get(TENANT, "conn-sf")
        await services.limiter.observe(connection, Quota(limit=100, remaining=5, retry_after=600))

    castiel.does(throttled)
    [shown] = castiel.json("limits", "show", "-t", TENANT, "--connection", "conn-sf")
    assert shown["provider"]["multiplier"] == 0.5
    assert datetime.fromisoformat(shown["provider"]["closedUntil"]) > datetime.now(UTC)
    assert "closed until" in castiel("limits", "show", "-t", TENANT).out


async def deliver(services: Services, name: str) -> None:
    """A webhook, and a delivery that it took."""
    now = datetime.now(UTC)
    await services.stores.registrations.create(Registration(id=f"wh-{name}", scheme="salesforce", **COMMON))
    await services.stores.webhook_audit.put(
        WebhookAudit(
            id=f"a-{name}",
            registration_id=f"wh-{name}",
            received_on=now.date().isoformat(),
            received_at=now,
            tenant_id=TENANT,
            event_type="contact.updated",
            verified=True,
            status=200,
        )
    )


async def sync(services: Services, name: str) -> None:
    """An execution's result, and a conflict that waits."""
    await services.stores.results.put(
        # It began long ago: what counts is when it was written.
        SyncResult(
            id=f"r-{name}",
            executed_at=datetime(2026, 1, 1, tzinfo=UTC),
            status=SyncStatus.PARTIAL,
            records_processed=250,
            **COMMON,
        )
    )
    await services.stores.conflicts.put(
        ParkedConflict(
            id=f"c-{name}",
            shard_id="contact-1",
            shard_type="contact",
            entity="Contact",
            field="title",
            detected_at=datetime.now(UTC),
            **COMMON,
        )
    )


def happen(castiel: Cli, name: str) -> None:
    async def write(services: Services) -> None:
        await deliver(services, name)
        await sync(services, name)

    castiel.does(write)


def read_until(stream: IO[str] | None, words: set[str]) -> list[str]:
    """Lines up to where each of the words was in one."""
    assert stream is not None
    lines: list[str] = []
    while words - {word for word in words for line in lines if word in line}:
        lines.append(stream.readline())
        assert lines[-1], f"it ended before {words}: {lines}"
    return lines


def test_tail_tells_what_happens_once_through_an_outage_and_ends_by_ctrl_c(castiel: Cli) -> None:
    happen(castiel, "one")
    process = castiel.start("tail", "-t", TENANT, "--every", "1s", "--since", "5m", "--json")
    try:
        seen = read_until(process.stdout, {"a-one", "r-one", "c-one"})
        castiel.stack.stop("cosmos")
        assert "StoreUnavailable" in read_until(process.stderr, {"trying on"})[-1]
        castiel.stack.start("cosmos")

        async def more(services: Services) -> None:
            await sync(services, "one")
            connection = await services.stores.connections.get(TENANT, "conn-sf")
            connection.status_reason = "seen by tail"
            await services.stores.connections.replace(connection)

        castiel.does(more)
        seen += read_until(process.stdout, {"seen by tail"})
        process.send_signal(signal.SIGINT)
        answer = castiel.ended(process)
    finally:
        process.kill()
    assert (answer.code, "Traceback" in answer.err) == (0, False)
    told = [json.loads(line) for line in [*seen, *answer.out.splitlines()]]
    kinds = [(each["kind"], each["document"]["id"]) for each in told]
    # The delivery was written once, result and conflict twice.
    assert kinds.count(("webhook", "a-one")) == 1
    assert kinds.count(("result", "r-one")) == kinds.count(("waiting", "c-one")) == 2


def test_tail_shows_people_a_line_each_and_ends_by_itself(castiel: Cli) -> None:
    happen(castiel, "two")
    answer = castiel("tail", "-t", TENANT, "--since", "5m", "--for", "1s")
    assert answer.code == 0
    [result] = [line for line in answer.out.splitlines() if "result" in line and "250 processed" in line][-1:]
    assert "partial" in result
    assert "title of Contact" in answer.out
    only = castiel("tail", "-t", TENANT, "--since", "5m", "--for", "1s", "--kind", "webhook")
    assert {line.split()[1] for line in only.out.splitlines()} == {"webhook"}
    assert castiel("tail", "-t", "globex", "--since", "5m", "--for", "1s").out == ""
    assert castiel("tail", "-t", TENANT, "--every", "0s").code == 2


def test_a_process_that_waits_for_a_browser_ends_by_ctrl_c(castiel: Cli) -> None:
    castiel.json("providers", "app", "salesforce", "--client-id", "some-app", stdin="a-made-up-client-secret")
    process = castiel.start("connections", "authorize", "conn-sf", "-t", TENANT)
    try:
        read_until(process.stderr, {"Waiting for the browser"})
        process.send_signal(signal.SIGINT)
        answer = castiel.ended(process)
    finally:
        process.kill()
    assert (answer.code, "Traceback" in answer.err) == (130, False)
