"""Requests over kept-alive connections, from a process of its own.

    python -m benchmarks.http_load < specification.json

The specification has ``host``, ``port``, ``path``, ``connections``, ``requests``, ``secret``, ``prefix`` and ``size``.
Each request is a signed Salesforce callout of about that many bytes with a delivery id of its own; all are made before the first is sent.
Prints one JSON object: seconds, each answer's milliseconds, how many answers had which status.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import Counter
from typing import Any


def requests_of(specification: dict[str, Any]) -> list[bytes]:
    """The requests as bytes, heads included."""
    secret = specification["secret"].encode()
    return [_request(specification, secret, number) for number in range(specification["requests"])]


def _request(specification: dict[str, Any], secret: bytes, number: int) -> bytes:
    event = {
        "deliveryId": f"{specification['prefix']}-{number}",
        "event": "contact.updated",
        "entity": "Contact",
        "id": f"003{number:012d}AAA",
        "changes": {"LastName": "x" * specification["size"]},
    }
    body = json.dumps(event).encode()
    head = (
        f"POST {specification['path']} HTTP/1.1\r\n"
        f"Host: {specification['host']}:{specification['port']}\r\n"
        "Content-Type: application/json\r\n"
        "User-Agent: castiel-benchmark\r\n"
        f"X-Salesforce-Content-SHA256: {hmac.digest(secret, body, hashlib.sha256).hex()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_all(specification: dict[str, Any]) -> dict[str, Any]:
    """Send them, each connection one after the other."""
    waiting = iter(requests_of(specification))
    times: list[float] = []
    statuses: Counter[int] = Counter()

    async def work() -> None:
        reader, writer = await asyncio.open_connection(specification["host"], specification["port"])
        for request in waiting:
            begin = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            length = lowered.index(b"content-length:") + 15
            await reader.readexactly(int(lowered[length : lowered.index(b"\r\n", length)]))
            times.append((time.perf_counter() - begin) * 1000)
            statuses[int(head[9:12])] += 1
        writer.close()
        await writer.wait_closed()

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(specification["connections"])))
    return {"seconds": time.perf_counter() - begin, "times_ms": times, "statuses": statuses}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send_all(json.load(sys.stdin)))))
