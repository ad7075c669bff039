"""What comes out of ``sync-inbound``: executions of tasks, and continuations of a token refresh."""

from __future__ import annotations

from castiel.domain.refresh_runs import KIND
from castiel.functions.sync_inbound_worker import SyncInboundWorker
from castiel.functions.token_refresher import TokenRefresher
from castiel.ports.messaging import ReceivedMessage


class InboundMessages:
    """Hands each message to whom it is for, by its application property ``kind``."""

    def __init__(self, worker: SyncInboundWorker, refresher: TokenRefresher) -> None:
        self._worker = worker
        self._refresher = refresher

    async def handle(self, received: ReceivedMessage) -> None:
        """Raises what the two raise."""
        if received.properties.get("kind") == KIND:
            await self._refresher.go_on(received)
        else:
            await self._worker.handle(received)
