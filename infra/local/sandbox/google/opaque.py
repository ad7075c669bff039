"""Page and sync tokens: what a list call has to remember, in text that clients can't read much into."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

JsonObject = dict[str, Any]


def seal(content: JsonObject) -> str:
    """The token of a content."""
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def unseal(token: str) -> JsonObject | None:
    """The content of a token, or None when it is not one of ours."""
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        return None
    return content if isinstance(content, dict) else None


def digest(parameters: JsonObject) -> str:
    """What tells two sets of parameters apart."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]
