"""A create is carried out once, whatever is lost around it: at every provider, judged by the sandbox's own count."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from castiel.bootstrap import Services, build
from castiel.domain.shards import Shard
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import SampleProvider, plant
from infra.local.sandbox.client import SandboxControl
from infra.local.session import until
from tests.support.app import InProcess, running_services
from tests.support.doomed_worker import doomed_worker, give
from tests.support.faults import database_faults
from tests.support.provider_cases import load_cases

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUEUE = "sync-outbound"
SETTINGS = {
    "SYNC_RETRY_BASE_SECONDS": "0.1",
    "SYNC_MAX_RETRIES": "5",
    "PROVIDER_TIMEOUT_SECONDS": "1",
    "SYNC_LEASE_SECONDS": "2",
}
CASES = load_cases()


@dataclass(frozen=True)
class Creation:
    """One entity of one provider: the shard whose create is pushed there, and how the sandbox counts."""

    provider: str
    entity: str
    shard_type: str
    fields: Callable[[str], Mapping[str, Any]]
    seed: Mapping[str, int]
    write_call: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    keyless: bool = False
    """Its records carry no key: their id or name is chosen by us, or unique."""

    @property
    def sample(self) -> SampleProvider:
        name = f"{self.provider}-{self.entity.lower()}"
        settings = {**CASES[self.provider].settings, **self.settings}
        return SampleProvider(
            self.provider,
            name,
            {self.entity: self.shard_type},
            self.seed,
            settings,
            tenant=f"tenant-{name}",
        )

    async def live(self, control: SandboxControl) -> int:
        case = CASES[self.provider]
        if case.entity == self.entity:
            return await case.live(control)
        return int((await control.counts())[self.entity]["live"])


def _person(word: str) -> Mapping[str, Any]:
    return {"firstName": "New", "lastName": word, "email": f"{word.lower()}@example.com"}


def _meeting(word: str) -> Mapping[str, Any]:
    return {"title": word, "startTime": "2026-03-02T09:00:00Z", "endTime": "2026-03-02T10:00:00Z"}


def _titled(word: str) -> Mapping[str, Any]:
    return {"title": word}


CREATIONS = (
    Creation("salesforce", "Contact", "contact", _person, {"Contact": 5}, "composite/sobjects"),
    Creation("github", "Issue", "issue", _titled, {"Repository": 2, "Issue": 5}, "/issues"),
    Creation(
        "google", "Event", "event", _meeting, {"Event": 5, "Contact": 5}, "(events|batch)", keyless=True
    ),
    Creation("google", "Contact", "contact", _person, {"Event": 5, "Contact": 5}, "batchCreateContacts"),
    Creation("notion", "Page", "page", _titled, {"Page": 5}, "/v1/pages"),
    Creation(
        "slack",
        "Channel",
        "channel",
        lambda word: {"name": word.lower()},
        {"User": 3, "Channel": 3, "Message": 5},
        r"conversations\.create",
        keyless=True,
    ),
    Creation(
        "slack",
        "Message",
        "message",
        lambda word: {"text": word},
        {"User": 3, "Channel": 3, "Message": 5},
        r"chat\.postMessage",
    ),
)


@dataclass
class Scene:
    """Two instances of the app over one stack, and the provider of this test."""

    stack: InProcess
    other: Services
    creation: Creation
    control: SandboxControl
    before: int

    async def announced(self, word: str) -> tuple[Shard, ReceivedMessage]:
        """A new shard, and the message that says so."""
        shard = await self.stack.services.local_changes.create(
            self.creation.sample.tenant,
            self.creation.shard_type,
            self.creation.fields(word),
            correlation_id=f"test-{word}",
        )
        [message] = await self.stack.take(QUEUE)
        return shard, message

    @property
    def environment(self) -> dict[str, str]:
        """The settings of another instance over the same stack, as a process has them."""
        return {**self.stack.stack.environment(), **SETTINGS}

    def handle(self, message: ReceivedMessage) -> Awaitable[None]:
        return self.stack.services.outbound_worker.handle([message])

    async def handle_copy(self) -> None:
        """Handle a message that was put back, once it is due."""
        [message] = await self.stack.take(QUEUE, 1, wait=8)
        await self.handle(message)

    async def settle(self, shard: Shard) -> None:
        """Handle what is put back until the shard knows its record."""
        shards = self.stack.services.stores.shards
        while not (await shards.get(shard.tenant_id, shard.id)).references:
            await self.handle_copy()

    async def made(self) -> int:
        return await self.creation.live(self.control) - self.before

    async def hit(self, fault: int) -> bool:
        return any(one["id"] == fault and one["hits"] for one in await self.control.faults())

    async def expect_one(self, shard: Shard) -> None:
        assert await self.made() == 1
        stored = await self.stack.services.stores.shards.get(shard.tenant_id, shard.id)
        [reference] = stored.references
        assert await self.control.record(self.creation.entity, reference.external_id)
        assert await self.key_of(reference.external_id) == (None if self.creation.keyless else shard.id)

    async def key_of(self, external_id: str) -> str | None:
        """What the record, read through the adapter, says it was made from."""
        sample, services = self.creation.sample, self.stack.services
        connection = await services.stores.connections.get(sample.tenant, sample.connection_id)
        found = await services.integrations.adapter(connection).get(self.creation.entity, [external_id])
        return found[external_id].made_from


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[InProcess]:
    async with running_services(settings=SETTINGS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(stack: InProcess) -> AsyncIterator[Services]:
    services = build(stack.services.settings)
    yield services
    await services.aclose()


@pytest_asyncio.fixture(loop_scope="module", params=CREATIONS, ids=lambda c: f"{c.provider}-{c.entity}")
async def scene(stack: InProcess, other: Services, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    creation: Creation = request.param
    async with stack.control(creation.provider) as control:
        await plant(stack.services, control, creation.sample)
        await _default_channel(stack.services, control, creation)
        yield Scene(stack, other, creation, control, await creation.live(control))
        await control.clear_faults()
        await database_faults(stack.services).clear()


async def _default_channel(services: Services, control: SandboxControl, creation: Creation) -> None:
    if creation.entity != "Message":
        return
    sample = creation.sample
    connection = await services.stores.connections.get(sample.tenant, sample.connection_id)
    channels = await control.records("Channel")
    connection.settings["defaultChannel"] = next(c["id"] for c in channels if c.get("is_member"))
    await services.stores.connections.replace(connection)


def again(message: ReceivedMessage) -> ReceivedMessage:
    """The same message as the queue delivers it after a crash."""
    return ReceivedMessage(
        message.body,
        message.message_id,
        message.correlation_id,
        message.delivery_count + 1,
        message.enqueued_at,
        message.properties,
    )


LOST = {"delayMs": 600, "status": 503}
"""What the killed worker was writing never takes effect."""
LATE = {"delayMs": 600}
"""It does, after its death."""


async def kill_while_it_stores(scene: Scene, word: str, write: Mapping[str, Any]) -> None:
    """SIGKILL: nothing is given back or tidied up, the shard's lease least of all."""
    async with doomed_worker(scene.environment) as worker:
        shard, message = await scene.announced(word)
        faults = database_faults(scene.stack.services)
        # The only batch of the worker's is its save; what it reads with is none.
        await faults.order(path="colls/shards", batch=True, **write)
        await give(worker, message)
        await until(faults.met, "the worker stores what it made")
        worker.kill()
        assert await worker.wait() == -signal.SIGKILL
    assert await scene.made() == 1

    await scene.handle(again(message))
    await scene.settle(shard)
    await scene.expect_one(shard)


async def test_killed_after_the_provider_made_it_and_before_we_stored_it(scene: Scene) -> None:
    await kill_while_it_stores(scene, "Killed", LOST)


@pytest.mark.parametrize("scene", CREATIONS[:1], indirect=True, ids=["any-provider"])
async def test_killed_while_the_database_took_it(scene: Scene) -> None:
    await kill_while_it_stores(scene, "KilledLate", LATE)


async def test_the_same_message_at_once_on_two_instances(scene: Scene) -> None:
    shard, message = await scene.announced("AtOnce")
    slow = await scene.control.fault("slow", path=scene.creation.write_call, delay_ms=300, times=1)
    await asyncio.gather(scene.handle(message), scene.other.outbound_worker.handle([again(message)]))
    assert await scene.hit(slow)
    # Whoever came second was put back, and finds the work done.
    await scene.handle_copy()
    await scene.expect_one(shard)


async def test_an_answer_that_is_lost(scene: Scene) -> None:
    shard, message = await scene.announced("NoAnswer")
    lost = await scene.control.fault("drop_after", path=scene.creation.write_call, times=1)
    await scene.handle(message)
    assert await scene.hit(lost)
    assert await scene.made() == 1
    await scene.settle(shard)
    await scene.expect_one(shard)


async def test_an_answer_that_is_lost_of_what_is_deleted_before_it_is_tried_again(scene: Scene) -> None:
    shard, message = await scene.announced("Doomed")
    lost = await scene.control.fault("drop_after", path=scene.creation.write_call, times=1)
    await scene.handle(message)
    assert await scene.hit(lost)
    assert await scene.made() == 1
    await scene.stack.services.local_changes.delete(shard.tenant_id, shard.id, correlation_id="test-doomed")
    [deletion] = await scene.stack.take(QUEUE)
    await scene.handle(deletion)
    # The create's own copy, where the HTTP layer could not repeat the call by itself.
    for copy in await scene.stack.take(QUEUE, 1, wait=3):
        await scene.handle(copy)
    assert await scene.made() == 0


async def test_a_timeout_whose_request_arrives_after_we_gave_it_up(scene: Scene) -> None:
    shard, message = await scene.announced("TooSlow")
    slow = await scene.control.fault("slow", path=scene.creation.write_call, delay_ms=1700, times=1)
    await scene.handle(message)
    assert await scene.hit(slow)
    await scene.settle(shard)
    await scene.expect_one(shard)
