"""Which part of a container a query looks at: all of it, one logical partition, or a range of partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .catalog import Container
from .errors import bad_request
from .partition import LEVEL_BYTES, effective_keys, parse_header


@dataclass(frozen=True)
class KeyScope:
    """Effective partition keys from ``low`` up to, not including, ``high``; both None for the whole container."""

    low: bytes | None = None
    high: bytes | None = None

    @property
    def exact(self) -> bool:
        """Whether it is one complete partition key."""
        return self.low is not None and self.high is None

    @property
    def prefix_levels(self) -> int:
        """How many leading components of a hierarchical key it fixes; 0 if it is another range."""
        if self.low and self.high == self.low + b"\xff" and len(self.low) % LEVEL_BYTES == 0:
            return len(self.low) // LEVEL_BYTES
        return 0

    def condition(self) -> tuple[str, list[object]]:
        """It as an SQL condition on a column ``epk``."""
        if self.low is None and self.high is None:
            return "1", []
        if self.exact:
            return "epk = ?", [self.low]
        return "epk >= ? AND epk < ?", [self.low, self.high]


def scope_of(headers: Mapping[str, str], container: Container) -> KeyScope:
    """The scope a request's headers name. Raises a 400 for a partition key that does not fit."""
    key = headers.get("x-ms-documentdb-partitionkey")
    if key is not None:
        components = parse_header(key)
        if len(components) > len(container.paths):
            raise bad_request("The partition key has more components than the container's.")
        epk = effective_keys(components, hierarchical=container.hierarchical)
        return KeyScope(epk) if len(components) == len(container.paths) else KeyScope(epk, epk + b"\xff")
    start, end = headers.get("x-ms-start-epk", ""), headers.get("x-ms-end-epk", "FF")
    if start == "" and end == "FF":
        return KeyScope()
    try:
        return KeyScope(bytes.fromhex(start), bytes.fromhex(end))
    except ValueError:
        raise bad_request("The effective partition key range is invalid.") from None
