"""``python -m tests.support.limit_hammer URL LIMIT``: decisions as fast as one process can, until Redis says stop.

Prints when it was let through, as a JSON list of milliseconds. Time is a key that the test moves.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

from castiel.azure.redis_client import build_client
from castiel.azure.redis_limits import RedisRateLimits
from castiel.domain.sliding_window import SLICE_MS
from tests.support.limits import MOVED_CLOCK, request

TASKS = 8
WHOLE = timedelta(seconds=60, milliseconds=SLICE_MS)


async def hammer(url: str, limit: int) -> list[int]:
    client = build_client(url)
    limits = RedisRateLimits(client, timeout=60.0, clock=MOVED_CLOCK)
    times: list[int] = []

    async def work() -> None:
        while not await client.exists("tests:stop"):
            answer = await limits.check(request(limit, limit + 1, 10 * limit))
            await client.incr("tests:decisions")
            if answer.allowed:
                times.append(round((answer.reset_at - WHOLE).timestamp() * 1000))

    await asyncio.gather(*(work() for _ in range(TASKS)))
    await client.aclose()
    await client.connection_pool.disconnect()
    return times


if __name__ == "__main__":
    print(json.dumps(asyncio.run(hammer(sys.argv[1], int(sys.argv[2])))))
