"""The sandbox as a process: seeded when empty, nothing lost when killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.local.process import ServerProcess
from infra.local.sandbox.client import SandboxControl

pytestmark = pytest.mark.stack


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    server = ServerProcess("sandbox", data=tmp_path, arguments=["--seed", "salesforce=Account:5,Contact:8"])
    try:
        ready = await asyncio.to_thread(server.start)
        async with SandboxControl(ready["url"]) as org:
            assert (await org.counts())["Contact"]["live"] == 8
            tokens = await org.grant()
            made = await org.create("Contact", LastName="Lovelace")
            await org.policy(rotate_refresh_tokens=True)
        await asyncio.to_thread(server.kill)
        ready = await asyncio.to_thread(server.start)
        async with SandboxControl(ready["url"]) as org:
            assert (await org.counts())["Contact"]["live"] == 9
            assert (await org.record("Contact", made["Id"]))["LastName"] == "Lovelace"
            assert (await org.policy())["rotateRefreshTokens"] is True
            assert await org.revoke(tokens["refresh_token"]) == 1
        assert await asyncio.to_thread(server.stop) == 0
    finally:
        await asyncio.to_thread(server.kill)
