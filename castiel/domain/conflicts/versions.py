"""A field's three versions, and which of two is the newer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""Stands for an object's member that is not there, which is not the same as one that is ``None``."""


@dataclass(frozen=True, slots=True)
class FieldVersions:
    """A field as both sides last agreed (``base``), as it is here, and as it is there; with when each was set."""

    field: str
    base: Any
    local: Any
    external: Any
    local_changed_at: datetime | None = None
    external_changed_at: datetime | None = None

    @property
    def local_is_newer(self) -> bool:
        """Whether the local value is known to have been set later. A tie or an unknown time speaks for the external."""
        if self.local_changed_at is None or self.external_changed_at is None:
            return False
        return self.local_changed_at > self.external_changed_at

    @property
    def newest(self) -> Any:
        """The value that was set last."""
        return self.local if self.local_is_newer else self.external
