"""What a successful verification says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Verification(NamedTuple):
    """The sender is who the registration says.

    ``secret_index`` is the position of the secret or key that matched: not 0 means the sender still uses an
    older one. ``timestamp`` and ``message_id`` are set where the scheme signs them, ``claims`` for tokens.
    """

    secret_index: int
    key_id: str | None = None
    timestamp: datetime | None = None
    message_id: str | None = None
    claims: Mapping[str, Any] | None = None
