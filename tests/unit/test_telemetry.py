"""The metric registry is what the code emits, and what was recorded is sent when a timer's run ends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from castiel import telemetry
from castiel.telemetry import COUNTERS, HISTOGRAMS

CASTIEL = Path(telemetry.__file__).parent


def emitted() -> set[str]:
    """Every text in the code that is a metric's name."""
    names = {*COUNTERS, *HISTOGRAMS}
    sources = [path for path in CASTIEL.rglob("*.py") if path.name != "telemetry.py"]
    trees = [ast.parse(path.read_text("utf-8")) for path in sources]
    constants = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str) and value in names}


def test_every_metric_of_the_registry_is_emitted_somewhere() -> None:
    assert emitted() == {*COUNTERS, *HISTOGRAMS}


def test_the_briefs_names_are_there() -> None:
    assert {"sync_scheduler_success", "webhook_received"} <= set(COUNTERS)
    assert "inbound_worker_duration_ms" in HISTOGRAMS


class Exporter(MetricExporter):
    """Keeps what it is given, or fails."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken
        self.names: list[str] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        if self.broken:
            raise OSError("no way out")
        for resource in metrics_data.resource_metrics:
            self.names += [metric.name for scope in resource.scope_metrics for metric in scope.metrics]
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        return None


@pytest.mark.parametrize("broken", [False, True])
async def test_a_flush_sends_what_was_recorded_and_fails_nobody(
    broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = Exporter(broken=broken)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))])
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    provider.get_meter("castiel").create_counter("sync_scheduler_success").add(1)
    await telemetry.flush()
    assert exporter.names == ([] if broken else ["sync_scheduler_success"])
    exporter.broken = False
    provider.shutdown()


async def test_without_a_recorder_a_flush_does_nothing() -> None:
    await telemetry.flush()
