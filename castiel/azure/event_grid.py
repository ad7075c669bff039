"""Event Grid: CloudEvents to a topic, where one is configured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from azure.core.exceptions import AzureError
from azure.core.messaging import CloudEvent
from azure.eventgrid.aio import EventGridPublisherClient

from castiel.ports.messaging import Event

logger = logging.getLogger(__name__)

SOURCE = "/castiel"


class EventGridTopic:
    """:class:`~castiel.ports.messaging.EventPublisher` on Event Grid."""

    def __init__(self, client: EventGridPublisherClient) -> None:
        self._client = client

    async def publish(self, event: Event) -> None:
        await self.publish_many([event])

    async def publish_many(self, events: Sequence[Event]) -> None:
        if not events:
            return
        try:
            await self._client.send([_native(event) for event in events])
        except (AzureError, TimeoutError, OSError) as error:
            # Nothing depends on who listens: the change itself is stored already.
            logger.warning(
                "event not published",
                extra={
                    "eventType": events[0].type,
                    "events": len(events),
                    "error": type(error).__name__,
                },
            )


class NoTopic:
    """No topic is configured: events go nowhere."""

    async def publish(self, event: Event) -> None:
        logger.debug("no event topic configured", extra={"eventType": event.type})

    async def publish_many(self, events: Sequence[Event]) -> None:
        for event in events:
            await self.publish(event)


def _native(event: Event) -> CloudEvent[dict[str, Any]]:
    return CloudEvent(
        source=SOURCE,
        type=event.type,
        subject=event.subject,
        data={**event.data, "tenantId": event.tenant_id, "correlationId": event.correlation_id},
    )
