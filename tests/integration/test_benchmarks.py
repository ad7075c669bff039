"""The benchmarks that need nothing but the local stack still run, on a few records: they time the app's own parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from infra.local.process import CHECKOUT

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PULL = """
import asyncio, json
from benchmarks.inbound_pull import pull
from benchmarks.stacked import bench

async def measure():
    async with bench() as running:
        return await pull(running, 250)

print(json.dumps(asyncio.run(measure())))
"""


def figures(*arguments: str, **environment: str) -> dict[str, Any]:
    """The last line of a benchmark's output."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_pull_is_timed_batch_by_batch() -> None:
    found = figures("-c", PULL)
    assert found["records_per_s"] > 0
    assert 0 < found["queries_per_100"] < 10
    assert found["store_ms_per_100"] > 0


def test_a_backlog_of_tokens_is_refreshed_to_its_end() -> None:
    found = figures("-m", "benchmarks.bench_token_backlog", BENCH_DUE="20")["token_backlog"]
    assert (found["refreshed"], found["failed"]) == (20, 0)
