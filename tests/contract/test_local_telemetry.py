"""Where the local host sends telemetry: to a collector over OTLP, or as lines; a wrong setting is named."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.local.process import CHECKOUT

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TELL = """
import logging
logging.basicConfig(level=logging.INFO)
from castiel import telemetry, tracing
from infra.local.host.telemetry import configure_telemetry, shut_down
configure_telemetry()
telemetry.install_log_context()
with telemetry.log_context(function="SyncScheduler", tenantId="t-1"), tracing.span("SyncScheduler"):
    telemetry.count("sync_scheduler_success", 3)
    logging.getLogger("castiel.functions").info("scheduler run")
shut_down()
"""


async def tell(**settings: str) -> subprocess.CompletedProcess[str]:
    """A process that is set up like the host and does one thing."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", TELL],
        cwd=CHECKOUT,
        env={**known, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_collector_gets_traces_metrics_and_logs() -> None:
    told: dict[str, bytes] = {}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        told[request.path] = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/{signal}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        done = await tell(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert done.returncode == 0, done.stderr
    traces = ExportTraceServiceRequest.FromString(told["/v1/traces"])
    [span] = traces.resource_spans[0].scope_spans[0].spans
    assert span.name == "SyncScheduler"
    metrics = ExportMetricsServiceRequest.FromString(told["/v1/metrics"])
    [metric] = metrics.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.sum.data_points[0].as_int) == ("sync_scheduler_success", 3)
    logs = ExportLogsServiceRequest.FromString(told["/v1/logs"])
    [line] = logs.resource_logs[0].scope_logs[0].log_records
    assert line.body.string_value == "scheduler run"
    assert {"function", "tenantId"} <= {attribute.key for attribute in line.attributes}
    assert line.trace_id == span.trace_id


async def test_the_console_gets_a_line_for_each_span() -> None:
    done = await tell(CASTIEL_LOCAL_TELEMETRY="console")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("trace ")]
    assert line.endswith("ms  SyncScheduler  function=SyncScheduler tenantId=t-1")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CASTIEL_LOCAL_TELEMETRY": "file"}, "CASTIEL_LOCAL_TELEMETRY"),
        ({"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true"}, "APPLICATIONINSIGHTS_CONNECTION_STRING"),
    ],
)
async def test_a_setting_that_cannot_be_followed_is_named(settings: dict[str, str], named: str) -> None:
    done = await tell(**settings)
    assert done.returncode != 0
    assert named in done.stderr.splitlines()[-1]


async def test_without_a_setting_nothing_is_recorded() -> None:
    done = await tell()
    assert done.returncode == 0
    assert "trace " not in done.stderr
