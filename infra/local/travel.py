"""A change on its way: made in Salesforce, it arrives in Google and Notion, and what these say about it starts nothing."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.domain.messages import SyncMessage
from castiel.domain.results import PushResult
from castiel.domain.shards import Shard
from castiel.domain.tasks import SyncMode
from castiel.ports.messaging import QueueMessage
from infra.local.sample import TRAVEL, SampleProvider, plant, webhook_secret
from infra.local.sandbox.client import SandboxControl
from infra.local.session import Session, StepFailedError, until

SOURCE, GOOGLE, NOTION = TRAVEL


@dataclass
class _Trip:
    session: Session
    controls: dict[str, SandboxControl]

    async def run(self) -> dict[str, Any]:
        begin = time.monotonic()
        contact = await self._control(SOURCE).create(
            "Contact",
            FirstName="Grace",
            LastName="Traveller",
            Email="grace.traveller@example.com",
            Title="Pilot",
        )
        shard = await self._tell(contact["Id"], "create", "Pilot")
        await self._pushes(shard, 2)
        await self._arrived(shard, "Pilot")
        await self._control(SOURCE).edit("Contact", contact["Id"], Title="Captain")
        await self._tell(contact["Id"], "update", "Captain")
        pushes = await self._pushes(shard, 4)
        arrived = await self._arrived(shard, "Captain")
        milliseconds = round((time.monotonic() - begin) * 1000)
        before = await self._writes()
        echoes = await self._echo(arrived)
        await self._drained()
        after, written = await self._pushes(shard, 0), await self._writes() - before
        if len(after) != len(pushes) or written:
            raise StepFailedError(f"echoes started {len(after) - len(pushes)} pushes and {written} writes")
        return {
            "shard": shard.id,
            "arrived": arrived,
            "pushes": len(pushes),
            "milliseconds": milliseconds,
            "echoes": echoes,
            "pushesAfterEchoes": len(after) - len(pushes),
            "providerWritesAfterEchoes": written,
        }

    def _control(self, sample: SampleProvider) -> SandboxControl:
        return self.controls[sample.integration_id]

    async def _tell(self, record_id: str, operation: str, title: str) -> Shard:
        """Salesforce's webhook; returns the shard once it has the change."""
        await self._webhook(SOURCE, "Contact", record_id, operation)
        key = f"{SOURCE.connection_id}|Contact|{record_id}"

        async def changed() -> Shard | None:
            found = await self.session.services.stores.shards.by_references(SOURCE.tenant, "contact", [key])
            return found[0] if found and found[0].fields.get("title") == title else None

        return await until(changed, f"the contact's shard has the title {title}")

    async def _webhook(self, sample: SampleProvider, entity: str, record_id: str, operation: str) -> None:
        sent = await self._control(sample).send_event(
            f"{self.session.url}/webhooks/{sample.registration_id}/events",
            entity=entity,
            id=record_id,
            operation=operation,
            secret=await webhook_secret(self.session.services, sample),
        )
        if sent["status"] != 200:
            raise StepFailedError(f"{sample.integration_id}'s webhook was answered {sent['status']}")

    async def _pushes(self, shard: Shard, count: int) -> list[PushResult]:
        """The shard's push results, once there are so many. Raises :class:`StepFailedError` for one that failed."""

        async def find() -> list[PushResult] | None:
            since = datetime.now(UTC) - timedelta(hours=1)
            stored = self.session.services.stores.results.of_tenant(SOURCE.tenant, since)
            found = [r async for r in stored if isinstance(r, PushResult) and r.entity_id == shard.id]
            return found if len(found) >= count else None

        results = await until(find, f"push result {count} of {shard.id}")
        for result in results:
            if not result.success:
                raise StepFailedError(f"{result.integration_id}: {result.error_code} {result.error_message}")
        return results

    async def _arrived(self, shard: Shard, title: str) -> dict[str, str]:
        """The contact's ids in Google and Notion, whose own records are asked for the title."""
        stored = await self.session.services.stores.shards.get(shard.tenant_id, shard.id)
        ids = {reference.integration_id: reference.external_id for reference in stored.references}
        google = await self._control(GOOGLE).record("Contact", ids["google"])
        notion = await self._control(NOTION).record("Page", ids["notion"])
        found = {"google": google["organizations"][0]["title"], "notion": notion["Role"]}
        if set(found.values()) != {title}:
            raise StepFailedError(f"the title should be {title}, but is {found}")
        return {name: ids[name] for name in found}

    async def _writes(self) -> int:
        """Every write to the three providers' records, whoever made it."""
        return sum([len(await control.changes()) for control in self.controls.values()])

    async def _echo(self, arrived: dict[str, str]) -> int:
        """Our own writes come back: by Notion's webhook, by a look at Google, which has none for contacts.

        Returns how many came back, once each was looked at.
        """
        page, person = arrived["notion"], arrived["google"]
        for control in self.controls.values():
            await control.clear_calls()
        for operation in ("create", "update"):
            await self._webhook(NOTION, "Page", page, operation)
        message = SyncMessage(
            integration_id=GOOGLE.integration_id,
            tenant_id=GOOGLE.tenant,
            connection_id=GOOGLE.connection_id,
            sync_mode=SyncMode.PULL,
            correlation_id="demo-echo",
            enqueued_at=datetime.now(UTC),
            entity="Contact",
            external_ids=[person],
        )
        await self.session.services.inbound_queue.send(
            [QueueMessage("demo-echo", message.to_json_text(), "demo-echo")]
        )

        async def looked() -> bool:
            pages = await self._control(NOTION).calls(method="GET", path=f"pages/{page}")
            people = await self._control(GOOGLE).calls(method="GET", path="people")
            return bool(pages) and bool(people)

        await until(looked, "the echoes are looked at")
        return 3

    async def _drained(self) -> None:
        """Nothing waits, is scheduled or is being handled on either queue."""
        client, settings = self.session.services.clients.service_bus, self.session.services.settings

        async def empty() -> bool:
            for queue in (settings.service_bus_queue, settings.service_bus_queue_outbound):
                async with client.get_queue_receiver(queue) as receiver:
                    if await receiver.peek_messages(max_message_count=1, sequence_number=1):
                        return False
            return True

        await until(empty, "the queues are empty")


async def travel(session: Session) -> dict[str, Any]:
    """The whole trip. Raises :class:`StepFailedError` when the change doesn't arrive, or doesn't stop."""
    async with contextlib.AsyncExitStack() as opened:
        controls = {
            sample.integration_id: await opened.enter_async_context(session.control(sample.integration_id))
            for sample in TRAVEL
        }
        for sample in TRAVEL:
            await plant(session.services, controls[sample.integration_id], sample)
        return await _Trip(session, controls).run()
