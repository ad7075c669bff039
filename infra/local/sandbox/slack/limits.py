"""Rate limits: so many calls of a method per minute, and one message per second and channel.

Source: https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

from collections import deque

from infra.local.sandbox.clock import Clock
from infra.local.sandbox.slack.errors import rate_limited

_PER_TIER = {1: 1, 2: 20, 3: 50, 4: 100}
_TIERS = {
    "conversations.archive": 2,
    "conversations.create": 2,
    "conversations.list": 2,
    "conversations.rename": 2,
    "conversations.setPurpose": 2,
    "conversations.setTopic": 2,
    "conversations.unarchive": 2,
    "users.list": 2,
    "chat.delete": 3,
    "chat.update": 3,
    "conversations.history": 3,
    "conversations.info": 3,
    "conversations.replies": 3,
    "users.profile.set": 3,
    "users.info": 4,
}


class Limits:
    """Counts calls in a sliding minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[int]] = {}

    def clear(self) -> None:
        self._calls.clear()

    def count(self, method: str) -> None:
        """Raises ApiError ratelimited."""
        if method in _TIERS:
            self._count(method, _PER_TIER[_TIERS[method]], 60_000)

    def count_message(self, channel: str) -> None:
        """Raises ApiError ratelimited."""
        self._count(f"chat.postMessage {channel}", 1, 1000)

    def _count(self, name: str, most: int, window_ms: int) -> None:
        now = self._clock.now_ms()
        calls = self._calls.setdefault(name, deque())
        while calls and calls[0] <= now - window_ms:
            calls.popleft()
        if len(calls) >= most:
            raise rate_limited((calls[0] + window_ms - now + 999) // 1000)
        calls.append(now)
