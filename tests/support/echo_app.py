"""The echo app (tests/support/apps/echo_app): its settings, and how a test reads what its functions recorded."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

ECHO_APP = Path(__file__).parent / "apps" / "echo_app"
NEVER = "0 0 0 1 1 *"
"""A schedule that no test lives to see."""


class EchoRecords:
    """What the functions were called with, in order."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "echo.jsonl"

    def settings(self, *, bus: str = "", schedule: str = NEVER) -> dict[str, str]:
        """The app's settings; without a Service Bus connection string its two queue functions are disabled."""
        values = {
            "ECHO_FILE": str(self.file),
            "ECHO_SCHEDULE": schedule,
            "ECHO_QUEUE": "echo-one",
            "ECHO_BATCH_QUEUE": "echo-many",
            "ECHO_BUS": bus,
        }
        if not bus:
            values |= {"AzureWebJobs.One.Disabled": "true", "AzureWebJobs.Many.Disabled": "true"}
        return values

    def all(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every record, or those of one kind."""
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        records = [json.loads(line) for line in lines]
        return [record for record in records if kind is None or record["kind"] == kind]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self.file.write_text("", encoding="utf-8")

    async def wait(self, kind: str, count: int = 1, *, within: float = 15.0) -> list[dict[str, Any]]:
        """Wait until there are ``count`` records of a kind; returns all of them then."""
        deadline = time.monotonic() + within
        while len(found := self.all(kind)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} {kind!r} after {within:g} s: {self.all()}")
            await asyncio.sleep(0.01)
        return found
