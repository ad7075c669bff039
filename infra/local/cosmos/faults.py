"""Faults on demand: make the next requests fail, slow, or lose their answers, so that clients can be tested.

``POST /_faults`` with a JSON object adds one; ``GET`` lists what is left, ``DELETE`` clears all:

- ``count``: how many requests it hits (default 1); ``method`` and ``path`` (a part of it) narrow down which, ``batch``
  to transactional batches (or, when false, to everything else). ``skip``: so many that match pass first.
- ``status``, ``subStatus``, ``retryAfterMs``: answer this instead of doing anything (429, 503, 410, ...).
- ``delayMs``: wait before doing anything.
- ``dropAnswer``: do it, then close the connection without an answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import CosmosError, bad_request


@dataclass
class Fault:
    """One fault and how many requests it will still hit."""

    count: int = 1
    method: str | None = None
    path: str = ""
    batch: bool | None = None
    skip: int = 0
    status: int | None = None
    subStatus: int = 0  # noqa: N815 - the names of the JSON
    retryAfterMs: int | None = None  # noqa: N815
    delayMs: int = 0  # noqa: N815
    dropAnswer: bool = False  # noqa: N815

    def matches(self, method: str, path: str, batch: bool) -> bool:
        """Whether it is about such a request."""
        return self.method in (None, method) and self.path in path and self.batch in (None, batch)

    def error(self) -> CosmosError | None:
        """The error to answer with, if any."""
        if self.status is None:
            return None
        message = "The request rate is too large." if self.status == 429 else "A fault was asked for."
        return CosmosError(self.status, message, sub_status=self.subStatus, retry_after_ms=self.retryAfterMs)


class Faults:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, body: Any) -> None:
        """Add a fault. Raises a 400 for fields it does not know."""
        known = {field.name for field in fields(Fault)}
        if not isinstance(body, dict) or not body.keys() <= known:
            raise bad_request(f"A fault has these fields: {', '.join(sorted(known))}.")
        self._faults.append(Fault(**body))

    def clear(self) -> None:
        """Remove all."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """What is left."""
        return [asdict(fault) for fault in self._faults]

    def hit(self, method: str, path: str, *, batch: bool = False) -> Fault | None:
        """The fault that this request meets; it is counted down."""
        for fault in self._faults:
            if fault.matches(method, path, batch):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                if fault.count <= 0:
                    self._faults.remove(fault)
                return fault
        return None
