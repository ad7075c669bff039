"""Ten thousand credentials due at once: the TokenRefresher's invocations, over the local stack, until none is left.

    python -m benchmarks.bench_token_backlog

Each invocation ends by its time budget and leaves the rest to a continuation on Service Bus, which is received here and
handed on as the trigger does. The budget is a sixteenth of the function's (480 s), and the paces that spare the cloud's
Key Vault and the providers are off: what is shown is that the run goes on to its end, and at which speed Castiel could.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
from datetime import timedelta
from typing import Any

from azure.servicebus.aio import ServiceBusClient

from benchmarks.bench_token_refresh import Bench, plant, refresher_of, running
from castiel.ports.messaging import ReceivedMessage
from castiel.ports.stores import RefreshAudit

DUE = int(os.environ.get("BENCH_DUE", "10000"))
BUDGET_SECONDS = 30.0
NEVER_MORE = 200
"""Invocations: a run that does not come nearer its end is stopped, and fails."""


async def to_the_end(bench: Bench) -> list[RefreshAudit]:
    """The timer's invocation and its continuations. Raises RuntimeError when one fails or they do not end."""
    refresher = refresher_of(bench, interval=timedelta(hours=1), time_budget_seconds=BUDGET_SECONDS)
    audits = [await refresher.run()]
    connection = bench.services.settings.service_bus_connection_string
    if connection is None:
        raise RuntimeError("the local stack has a connection string")
    async with (
        ServiceBusClient.from_connection_string(connection.get_secret_value()) as client,
        client.get_queue_receiver(bench.services.settings.service_bus_queue) as receiver,
    ):
        while audits[-1].left:
            if audits[-1].failed or len(audits) == NEVER_MORE:
                raise RuntimeError(
                    f"invocation {len(audits)}: {audits[-1].failed} failed, {audits[-1].left} left"
                )
            for message in await receiver.receive_messages(max_message_count=1, max_wait_time=120):
                received = ReceivedMessage(b"".join(message.body), message.message_id or "")
                audits.append(await refresher.go_on(received))
                await receiver.complete_message(message)
    return audits


async def measure() -> dict[str, Any]:
    """Plant, refresh, and count at the provider."""
    async with running() as bench:
        await plant(bench, DUE)
        audits = await to_the_end(bench)
        refreshed = sum(audit.successful for audit in audits)
        if refreshed != DUE:
            raise RuntimeError(f"{refreshed} of {DUE} were refreshed")
        seconds = sum(audit.duration for audit in audits) / 1000
        return {
            "due": DUE,
            "refreshed": refreshed,
            "failed": sum(audit.failed for audit in audits),
            "invocations": len(audits),
            "budget_s": BUDGET_SECONDS,
            "longest_invocation_s": round(max(audit.duration for audit in audits) / 1000, 1),
            "refreshes_per_s": round(refreshed / seconds, 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def run() -> dict[str, Any]:
    """The figures. Takes about four minutes."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print(json.dumps({"token_backlog": run()}))
