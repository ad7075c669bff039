"""A delivery that we sign and send to ourselves, through our own door. It changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from castiel.adapters.http import HttpPool
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.signatures import SignatureScheme, sign
from castiel.errors import InvalidInput
from castiel.ports.clock import Clock

TEST_HEADER = "x-castiel-test"


@dataclass(frozen=True, slots=True)
class TrialDelivery:
    """What became of a delivery that we signed and sent to ourselves."""

    ok: bool
    status: int
    latency_ms: float


async def send_trial(
    base_url: str, path: str, scheme: SignatureScheme, secret: bytes, clock: Clock
) -> TrialDelivery:
    """Signed as the registration's sender would sign it, to its ``path`` behind the app's ``base_url``."""
    message_id = f"castiel-test-{clock.new_id()}"
    body = json.dumps({"castielTest": message_id}).encode()
    headers = {
        **sign(scheme, body, secret, clock.now(), message_id),
        "Content-Type": "application/json",
        TEST_HEADER: message_id,
    }
    # The operator names our own door, which may be on this machine.
    http = HttpPool(UrlPolicy(frozenset({origin_of(base_url)})), timeout=15)
    started = clock.monotonic()
    try:
        reply = await http.send("POST", _joined(base_url, path), headers=headers, content=body)
    finally:
        await http.aclose()
    return TrialDelivery(reply.status == 200, reply.status, (clock.monotonic() - started) * 1000)


def _joined(base_url: str, path: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("baseUrl: give the app's address, https://…")
    return base_url.rstrip("/") + path
