"""What the adapters of one process remember for one another: an adapter is made per use, what it learned may last."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

MOST_KEPT = 50
"""A great object's description has hundreds of kilobytes."""


class Shared:
    """A few values, each for a short time, the longest unused going first. Keys begin with whose they are."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """The value, or ``None`` when there is none any more."""
        until, value = self._kept.get(key, (0.0, None))
        if value is None or until < time.monotonic():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Any, *, seconds: float) -> None:
        """Keep it for so long."""
        self._kept[key] = (time.monotonic() + seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
