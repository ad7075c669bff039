"""What was asked of a provider and what it answered, for tests to read back. In memory: a restart empties it."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `status` is 0 when no answer was sent; `fault` names the fault that was played, if any."""

    seq: int
    at: str
    atMs: int  # noqa: N815 — printed as JSON
    method: str
    path: str
    query: str
    status: int
    durationMs: float  # noqa: N815 — printed as JSON
    fault: str | None


class Journal:
    """The last 200 000 calls of one provider, and how many there were in all."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self.total = 0

    def add(self, **call: Any) -> None:
        self.total += 1
        self._calls.append(Call(seq=self.total, **call))

    def clear(self) -> None:
        self._calls.clear()

    def matching(
        self, method: str | None = None, path: str | None = None, status: int | None = None, since: int = 0
    ) -> list[dict[str, Any]]:
        """Calls after sequence number `since`; `path` is a regular expression searched in path?query."""
        pattern = re.compile(path or "")
        return [
            asdict(call)
            for call in self._calls
            if call.seq > since
            and (method is None or call.method == method.upper())
            and (status is None or call.status == status)
            and pattern.search(f"{call.path}?{call.query}" if call.query else call.path)
        ]
