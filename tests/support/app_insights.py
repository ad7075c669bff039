"""An Application Insights of one's own: takes what the genuine exporter sends, and shows it as the tables one queries.

Which envelope becomes a row of which table, and where its parts end up:
https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete. The brief's queries are asked of these tables.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

Row = dict[str, Any]

_TABLES = {
    "MetricData": "customMetrics",
    "MessageData": "traces",
    "ExceptionData": "exceptions",
    "RequestData": "requests",
    "RemoteDependencyData": "dependencies",
}


@dataclass
class AppInsights:
    """What arrived."""

    port: int = 0
    raw: list[str] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def settings(self) -> dict[str, str]:
        """The app's settings in the cloud, but for the address; everything is sent at once, and nowhere else."""
        here = f"http://127.0.0.1:{self.port}"
        key = "00000000-0000-0000-0000-000000000001"
        return {
            "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
            "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "castiel",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={key};IngestionEndpoint={here};LiveEndpoint={here}"
            ),
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_METRIC_EXPORT_INTERVAL": "250",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BLRP_SCHEDULE_DELAY": "250",
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        }

    def where(self, table: str, holds: Callable[[Row], bool]) -> list[Row]:
        """``table | where …``."""
        return [row for row in self.tables[table] if holds(row)]

    def metric(self, name: str) -> list[Row]:
        """``customMetrics | where name == …``."""
        return self.where("customMetrics", lambda row: row["name"] == name)

    def take(self, envelopes: Iterable[dict[str, Any]]) -> None:
        """Keep what one request brought."""
        for envelope in envelopes:
            table = _TABLES.get(envelope["data"]["baseType"])
            if table is not None:
                self.tables[table].append(_row(envelope, envelope["data"]["baseData"]))


def summarize(rows: Iterable[Row], by: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """``summarize … by``: the rows of each group."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return dict(groups)


def hour(row: Row) -> str:
    """``bin(timestamp, 1h)``."""
    return row["timestamp"].strftime("%Y-%m-%dT%H")


def minute(row: Row) -> str:
    """``bin(timestamp, 1m)``."""
    return row["timestamp"].strftime("%Y-%m-%dT%H:%M")


def _row(envelope: dict[str, Any], data: dict[str, Any]) -> Row:
    tags = envelope.get("tags", {})
    row = {
        "timestamp": datetime.fromisoformat(envelope["time"]),
        "customDimensions": data.get("properties") or {},
        "operation_Id": tags.get("ai.operation.id"),
        "operation_ParentId": tags.get("ai.operation.parentId"),
        **{name: data.get(name) for name in ("message", "severityLevel", "name", "type", "target", "id")},
        **{name: data.get(name) for name in ("success", "duration", "resultCode", "data", "exceptions")},
    }
    for metric in data.get("metrics", []):
        row |= {
            "name": metric["name"],
            "value": metric["value"],
            "valueSum": metric["value"],
            "valueCount": metric.get("count", 1),
            "valueMin": metric.get("min"),
            "valueMax": metric.get("max"),
        }
    return row


@contextlib.asynccontextmanager
async def app_insights() -> AsyncIterator[AppInsights]:
    """Listen on a free port until the block ends."""
    insights = AppInsights()

    async def track(request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        insights.raw.append(body.decode())
        envelopes = json.loads(body)
        insights.take(envelopes)
        return web.json_response(
            {"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []}
        )

    async def live(_: web.Request) -> web.Response:
        return web.Response(headers={"x-ms-qps-subscribed": "false"})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v2.1/track", track)
    app.router.add_post("/QuickPulseService.svc/{what}", live)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        insights.port = int(runner.addresses[0][1])
        yield insights
    finally:
        await runner.cleanup()
