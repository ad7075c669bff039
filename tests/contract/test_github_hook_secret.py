"""A webhook's secret is set by GitHub's API, and its deliveries are signed with it from then on."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from castiel.adapters.github import PROVIDER
from castiel.domain.webhooks import Registration
from castiel.errors import ConfigurationError, RecordNotFound
from tests.support.providers import StaticAuthorizer, adapter_for, running_sandbox

pytestmark = pytest.mark.stack

REPOSITORY = "octo-org/engine"
NEW = "made-up-new-webhook-secret"


def registration(**settings: Any) -> Registration:
    return Registration(
        id="reg-1",
        tenant_id="tenant-1",
        integration_id="github",
        connection_id="connection-1",
        scheme="github",
        settings=settings,
    )


async def test_deliveries_are_signed_with_the_secret_that_was_set() -> None:
    received: list[tuple[bytes, str]] = []

    async def take(request: web.Request) -> web.Response:
        received.append((await request.read(), request.headers["X-Hub-Signature-256"]))
        return web.Response()

    receiver = web.Application()
    receiver.router.add_post("/", take)
    runner = web.AppRunner(receiver)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with running_sandbox("github") as sandbox:
            await sandbox.control.seed(Repository=1)
            token = (await sandbox.control.grant())["access_token"]
            adapter = adapter_for(PROVIDER, sandbox, StaticAuthorizer(token), repositories=[REPOSITORY])
            config = {"url": url, "content_type": "json", "secret": "made-up-old-webhook-secret"}
            made = await adapter.api.call("POST", f"/repos/{REPOSITORY}/hooks", json_body={"config": config})
            hook = made.json()["id"]
            assert PROVIDER.set_webhook_secret is not None

            there = registration(hookId=hook, repository=REPOSITORY)
            assert await PROVIDER.set_webhook_secret(adapter, there, SecretStr(NEW)) is True
            await sandbox.control.send_event(url, event="ping", hook_id=hook)

            missing = registration(hookId=1, repository=REPOSITORY)
            with pytest.raises(RecordNotFound):
                await PROVIDER.set_webhook_secret(adapter, missing, SecretStr(NEW))
            wrong = registration(hookId="../1", repository=REPOSITORY)
            with pytest.raises(ConfigurationError, match="hookId"):
                await PROVIDER.set_webhook_secret(adapter, wrong, SecretStr(NEW))
            assert await PROVIDER.set_webhook_secret(adapter, registration(), SecretStr(NEW)) is False
    finally:
        await runner.cleanup()
    [(body, signature)] = received
    assert signature == f"sha256={hmac.new(NEW.encode(), body, hashlib.sha256).hexdigest()}"
