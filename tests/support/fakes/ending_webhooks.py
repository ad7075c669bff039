"""A provider in memory whose webhooks end by themselves, as Google's channels do."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from castiel.adapters.base import Adapter, MadeWebhook
from castiel.domain.webhooks import Registration
from castiel.errors import ProviderUnavailable
from tests.support.clock import FakeClock
from tests.support.fakes.crash import CrashPoints

LIFE = timedelta(days=7)


class EndingWebhooks:
    """``open``: what lives, by number and registration → the token and the end. ``slow``: whose answers are waited for. ``seconds``: how long a call takes."""

    def __init__(self, clock: FakeClock, crash: CrashPoints) -> None:
        self.clock = clock
        self.crash = crash
        self.open: dict[tuple[str, int], tuple[str, datetime]] = {}
        self.down_for: set[str] = set()
        self.slow: dict[int, asyncio.Event] = {}
        self.waited_for = asyncio.Event()
        self.seconds = 0.0
        self.made = 0
        self.closed = 0

    async def create(
        self, adapter: Adapter, registration: Registration, address: str, secret: SecretStr
    ) -> MadeWebhook:
        """The provider's ``create_webhook``."""
        if registration.id in self.down_for:
            raise ProviderUnavailable("down")
        number = first = int(registration.settings.get("number", 0)) + 1
        while (registration.id, number) in self.open:
            number += 1
        ends_at = self.clock.now() + LIFE
        self.open[registration.id, number] = (secret.get_secret_value(), ends_at)
        self.made += 1
        self.crash.reach("made")
        if number in self.slow:
            self.waited_for.set()
            await self.slow[number].wait()
        # Another process gets its turn before the answer is here.
        await asyncio.sleep(0)
        self.clock.advance(self.seconds)
        return MadeWebhook(
            {"number": number}, ends_at, tuple({"number": each} for each in range(first, number))
        )

    async def delete(self, adapter: Adapter, registration: Registration) -> bool:
        """The provider's ``delete_webhook``."""
        if registration.id in self.down_for:
            raise ProviderUnavailable("down")
        self.closed += 1
        self.open.pop((registration.id, int(registration.settings["number"])), None)
        return True

    def alive(self, registration_id: str = "reg-1") -> dict[int, str]:
        """A registration's webhooks that would send now, and with which token."""
        now = self.clock.now()
        found: dict[int, Any] = {
            number: token
            for (owner, number), (token, ends_at) in self.open.items()
            if owner == registration_id and ends_at > now
        }
        return found
