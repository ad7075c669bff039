"""The whole webhook receiver through the Functions host, over the local stack, beside a bare handler on the same host.

    python -m benchmarks.bench_receiver

Every delivery is new, signed, about 1 KB, and durable before its 200: in Service Bus, with its audit record in Cosmos DB
and its mark in Redis. The host is one process; who sends is another. The bare handler reads the body and computes an
HMAC. Emulators, host and sender share this machine's processors, which the cloud's would not: `host_cpu_us` is the
host's own processor time per request. The host's two lines per invocation are left out, for both handlers: the platform
writes them in another process. Each figure is that of the better of two rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from infra.local.process import CHECKOUT, ServerProcess
from infra.local.sample import SALESFORCE, plant, webhook_secret
from infra.local.session import session

CONNECTIONS = {1: 400, 8: 1_600, 64: 5_000}
"""How many requests are measured with so many connections."""
WARM_UP = 300
ROUNDS = 2
SIZE = 850
FLOOR_APP = Path(__file__).with_name("floor_app")
_TICKS = os.sysconf("SC_CLK_TCK")


def load(port: int, path: str, secret: str, connections: int, requests: int) -> dict[str, Any]:
    """One run of the sender. Raises RuntimeError when an answer is not 200: nothing was measured then."""
    specification = {
        "host": "127.0.0.1",
        "port": port,
        "path": path,
        "secret": secret,
        "connections": connections,
        "requests": requests,
        "prefix": uuid.uuid4().hex,
        "size": SIZE,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load"],
        input=json.dumps(specification),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if found["statuses"] != {"200": requests}:
        raise RuntimeError(f"not every answer was 200: {found['statuses']}")
    return found


def measured(host: ServerProcess, path: str, secret: str) -> dict[str, dict[str, float]]:
    """By connections: requests per second, latencies, and the host's processor time per request."""
    load(host.port, path, secret, 8, WARM_UP)
    rows: dict[str, dict[str, float]] = {}
    for connections, requests in CONNECTIONS.items():
        rounds = [_round(host, path, secret, connections, requests) for _ in range(ROUNDS)]
        rows[str(connections)] = max(rounds, key=lambda row: row["requests_per_s"])
    return rows


def _round(host: ServerProcess, path: str, secret: str, connections: int, requests: int) -> dict[str, float]:
    before = _cpu_seconds(host.pid)
    found = load(host.port, path, secret, connections, requests)
    spent = _cpu_seconds(host.pid) - before
    times = sorted(found["times_ms"])
    row = {"requests_per_s": round(requests / found["seconds"], 1)}
    row |= {f"p{share}_ms": round(times[int(len(times) * share / 100)], 2) for share in (50, 95, 99)}
    row["host_cpu_us"] = round(spent / requests * 1e6)
    return row


def _cpu_seconds(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def floor() -> dict[str, dict[str, float]]:
    """The bare handler."""
    arguments = ["--app-dir", str(FLOOR_APP), "--memory", "--quiet"]
    with ServerProcess("host", arguments=arguments) as host:
        return measured(host, "/webhooks/floor/events", "made-up-key")


async def receiver() -> dict[str, dict[str, float]]:
    """Castiel's; nothing takes the messages out of the queue meanwhile."""
    with tempfile.TemporaryDirectory(prefix="castiel-bench-") as folder:
        async with session(
            data=None,
            settings_file=Path(folder, "local.settings.json"),
            settings={"AzureWebJobs.SyncOutboundWorker.Disabled": "true"},
            host_arguments=("--memory", "--quiet"),
        ) as running:
            async with running.control("salesforce") as control:
                await plant(running.services, control)
            registrations = running.services.stores.registrations
            registration = await registrations.get(SALESFORCE.registration_id)
            registration.rate_limit_per_minute = 10_000_000
            await registrations.replace(registration)
            secret = await webhook_secret(running.services)
            path = f"/webhooks/{registration.id}/events"
            if not isinstance(running.host, ServerProcess):
                raise TypeError("only our own host can be measured")
            return await asyncio.to_thread(measured, running.host, path, secret)


def run() -> dict[str, Any]:
    """Measure both. Takes about a minute."""
    bare = floor()
    rows: dict[str, dict[str, float]] = asyncio.run(receiver())
    for connections, row in rows.items():
        row["floor_requests_per_s"] = bare[connections]["requests_per_s"]
        row["floor_host_cpu_us"] = bare[connections]["host_cpu_us"]
    return dict(rows)


if __name__ == "__main__":
    print(json.dumps({"receiver": run()}))
