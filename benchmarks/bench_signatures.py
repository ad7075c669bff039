"""How long verifying a delivery takes, beside the bare HMAC and the standardwebhooks library.

    python -m benchmarks.bench_signatures

Each figure is the fastest of several rounds, in microseconds per verification, with a dozen headers around
the ones that matter. Contenders take turns within a round, so that a busy machine disturbs them alike.
The last line is one JSON object.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from standardwebhooks import Webhook

from castiel.domain.signatures import (
    PRESETS,
    PrivateKey,
    PublicKey,
    Secret,
    SignatureScheme,
    preset,
    sign,
    verify,
)

SIZES = {"1kb": 1_000, "100kb": 100_000, "1mb": 1_000_000}
SECRET = b"bm90IGEgc2VjcmV0LCBhIHRlc3QgdmFsdWU="
ROUNDS = 15
ROUND_SECONDS = 0.02
OTHER_HEADERS = {f"X-Other-Header-{number}": "some value" for number in range(12)}

ALGORITHMS = {
    "hmac-sha256": "github",
    "hmac-sha1": "github-sha1",
    "request-signing": "slack",
    "timestamp-signature": "standard-webhooks",
    "rsa-sha256": "google-iam",
    "shared-token": "google-channel",
    "oidc-jwt": "google-pubsub",
}


def run() -> dict[str, Any]:
    """Measure everything. Takes about a quarter of a minute."""
    names = [
        *ALGORITHMS,
        "hmac_floor_us",
        "hmac_sha1_floor_us",
        "standardwebhooks",
        "standardwebhooks_no_json",
    ]
    result: dict[str, Any] = {name: {} for name in names}
    for label, size in SIZES.items():
        for name, microseconds in measure(contenders(body_of(size))).items():
            result[name][f"us_{label}"] = round(microseconds, 2)
    for name in ("standardwebhooks", "standardwebhooks_no_json"):
        result[f"{name}_us_1kb"] = result[name]["us_1kb"]
    floor = result["hmac_floor_us"]["us_100kb"]
    result["ratio_to_floor_100kb"] = {
        name: round(result[name]["us_100kb"] / floor, 3)
        for name in ("hmac-sha256", "request-signing", "timestamp-signature")
    }
    return result


def body_of(size: int) -> bytes:
    """A JSON body of exactly that many bytes."""
    frame = json.dumps({"type": "contact.updated", "data": ""}).encode()
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]


def contenders(body: bytes) -> dict[str, Callable[[], object]]:
    """What is timed for one body: a verification per algorithm, the floors and the library."""
    now = datetime.now(UTC)
    calls = {name: _verification(name, body, now) for name in ALGORITHMS}
    calls["hmac_floor_us"] = lambda: hmac.digest(SECRET, body, "sha256")
    calls["hmac_sha1_floor_us"] = lambda: hmac.digest(SECRET, body, "sha1")
    library = Webhook(SECRET.decode())
    headers = OTHER_HEADERS | sign(PRESETS["standard-webhooks"], body, SECRET, now, "msg_1")
    calls["standardwebhooks"] = lambda: library.verify(body, headers)
    calls["standardwebhooks_no_json"] = lambda: library.verify(body, headers, json_parse=False)
    return calls


def measure(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds per call: the fastest of the rounds of each."""
    times = {name: _repetitions(call) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], _seconds(call, times[name]) / times[name])
    return {name: seconds * 1e6 for name, seconds in best.items()}


def _verification(algorithm: str, body: bytes, now: datetime) -> Callable[[], object]:
    scheme, signing, verifying = _setup(algorithm)
    headers = OTHER_HEADERS | sign(scheme, body, signing, now, "msg_1")
    return lambda: verify(scheme, headers, body, [verifying], now)


def _setup(algorithm: str) -> tuple[SignatureScheme, bytes | PrivateKey, Secret]:
    scheme = PRESETS[ALGORITHMS[algorithm]]
    if algorithm not in ("rsa-sha256", "oidc-jwt"):
        return scheme, SECRET, SECRET
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "oidc-jwt":
        scheme = preset("google-pubsub", audiences=["https://castiel.example"], emails=["pusher@example.org"])
    return scheme, PrivateKey(key, "key-1"), PublicKey(key.public_key(), "key-1")


def _repetitions(call: Callable[[], object]) -> int:
    _seconds(call, 3)
    return max(1, int(ROUND_SECONDS / _seconds(call, 3) * 3))


def _seconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def main() -> None:
    """Print the table, then the JSON line."""
    result = run()
    print(f"{'µs per verification':<28}" + "".join(f"{label:>12}" for label in SIZES))
    for name, row in result.items():
        if isinstance(row, dict) and "us_1kb" in row:
            print(f"{name:<28}" + "".join(f"{row[f'us_{label}']:>12.2f}" for label in SIZES))
    print(json.dumps({"signatures": result}))


if __name__ == "__main__":
    main()
