"""Content hashes: how a record that was seen before is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def content_hash(fields: Mapping[str, Any]) -> str:
    """A hash of a record's field values, the same for the same JSON whatever the order of its keys."""
    return hashlib.sha256(_ENCODER.encode(fields).encode("utf-8", "surrogatepass")).hexdigest()[:32]


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
