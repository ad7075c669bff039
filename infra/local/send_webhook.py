"""``python -m infra.local.send_webhook``: post one signed webhook to the local app, as Salesforce would."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from castiel.bootstrap import build
from castiel.settings import load_settings
from infra.local.process import CHECKOUT
from infra.local.sample import SALESFORCE, webhook_secret
from infra.local.sandbox.client import SandboxControl


async def _send(port: int, title: str) -> int:
    services = build(load_settings())
    try:
        secret = await webhook_secret(services)
        sandbox = services.settings.castiel_sandbox_url or ""
    finally:
        await services.aclose()
    async with SandboxControl(sandbox, SALESFORCE.integration_id) as control:
        record = (await control.records("Contact", limit=1))[0]
        await control.edit("Contact", record["Id"], Title=title)
        sent = await control.send_event(
            f"http://127.0.0.1:{port}/webhooks/{SALESFORCE.registration_id}/events",
            entity="Contact",
            id=record["Id"],
            operation="update",
            secret=secret,
        )
    print(json.dumps({"status": sent["status"], "body": sent["body"]}))
    return 0 if sent["status"] == 200 else 1


def main(arguments: list[str] | None = None) -> int:
    """0 when the app answered 200."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.send_webhook", description=__doc__)
    parser.add_argument("--settings", type=Path, default=CHECKOUT / "local.settings.json")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--title", default="Head of Operations", help="the contact's new title at Salesforce")
    options = parser.parse_args(arguments)
    os.environ.update(json.loads(options.settings.read_text("utf-8"))["Values"])
    return asyncio.run(_send(options.port, options.title))


if __name__ == "__main__":
    sys.exit(main())
