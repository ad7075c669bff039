"""Serving an aiohttp application as one server of the local stack."""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from infra.local.process import announce


async def serve_app(
    app: web.Application,
    name: str,
    options: argparse.Namespace,
    stopping: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    **extras: Any,
) -> None:
    """Listen where the options say, announce it, and serve until ``stopping``; open requests get 1 s to end."""
    runner = web.AppRunner(
        app, access_log=None if not options.verbose else _access_log(), shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, ssl_context=tls).start()
        port = runner.addresses[0][1]
        announce(name, port, url=f"{'https' if tls else 'http'}://{options.host}:{port}", **extras)
        await stopping.wait()
    finally:
        await runner.cleanup()


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The request's body as a JSON object, or None if it is anything else."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _access_log() -> Any:
    from aiohttp.log import access_logger

    return access_logger
