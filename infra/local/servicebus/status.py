"""The status port: ``GET /health`` (as Microsoft's emulator has it) and ``GET /status`` (counts by queue)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}


async def start_status_server(host: str, port: int, status: Callable[[], Any]) -> asyncio.Server:
    """Serve HTTP on this port (0: a free one); ``status`` is asked for every answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=5)
            code, body = _answer(head, status)
            payload = json.dumps(body).encode()
            writer.write(
                f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode()
                + payload
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(serve, host, port)


def _answer(head: bytes, status: Callable[[], Any]) -> tuple[int, Any]:
    method, _, rest = head.partition(b" ")
    path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
    if method != b"GET":
        return 405, {"error": "only GET"}
    if path == b"/health":
        return 200, {"status": "healthy"}
    if path == b"/status":
        return 200, {"queues": status()}
    return 404, {"error": "only /health and /status"}
