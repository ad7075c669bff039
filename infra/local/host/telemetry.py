"""Where the app's telemetry goes on this machine: what the platform's worker does with the same settings, and more.

Read from the environment and the settings file, by this host alone:

- ``PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY=true`` with ``APPLICATIONINSIGHTS_CONNECTION_STRING``: to Application
  Insights, configured as ``azure_functions_runtime.otel`` does it.
- ``OTEL_EXPORTER_OTLP_ENDPOINT``: traces, metrics and logs to any OpenTelemetry collector or viewer, over HTTP
  (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
- ``CASTIEL_LOCAL_TELEMETRY=console``: each span as one line on stderr.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.context import Context, attach, detach
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from infra.local.host.errors import HostError

ENABLE = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
LOGGER_NAME = "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME"
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
CONSOLE = "CASTIEL_LOCAL_TELEMETRY"


def configure_telemetry() -> None:
    """Set up what the environment asks for; nothing without.

    Raises:
        HostError: a setting that can't be followed.
    """
    console = os.environ.get(CONSOLE, "")
    if console not in ("", "console"):
        raise HostError(f"{CONSOLE}: {console!r} is not known; give `console`, or leave it out")
    if os.environ.get(ENABLE, "").lower() in ("1", "true"):
        _to_application_insights()
    elif os.environ.get(OTLP) or console:
        _export_lines_and_otlp(otlp=bool(os.environ.get(OTLP)), console=bool(console))


def shut_down() -> None:
    """Send what is left."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        if isinstance(provider, TracerProvider | MeterProvider | LoggerProvider):
            provider.shutdown()


class traced_by:  # noqa: N801  (reads as a block: `with traced_by(…)`)
    """What the platform's worker does before each invocation: the host's trace is the current one."""

    def __init__(self, trace_parent: str) -> None:
        self._context = TraceContextTextMapPropagator().extract({"traceparent": trace_parent}, Context())

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


def _to_application_insights() -> None:
    if not os.environ.get(CONNECTION):
        raise HostError(f"{CONNECTION}: missing, and {ENABLE} is set")
    from azure.monitor.opentelemetry import configure_azure_monitor

    os.environ.setdefault("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "azure_functions")
    configure_azure_monitor(
        connection_string=os.environ[CONNECTION], logger_name=os.environ.get(LOGGER_NAME, "")
    )


def _export_lines_and_otlp(*, otlp: bool, console: bool) -> None:
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "castiel")})
    tracers = TracerProvider(resource=resource)
    if otlp:
        _to_otlp(tracers, resource)
    if console:
        tracers.add_span_processor(SimpleSpanProcessor(SpanLines()))
    trace.set_tracer_provider(tracers)


def _to_otlp(tracers: TracerProvider, resource: Resource) -> None:
    # Imported when wanted: they cost every start of the host some time.
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(loggers)
    logging.getLogger("castiel").addHandler(LoggingHandler(logger_provider=loggers))


class SpanLines(SpanExporter):
    """One line for each span as it ends: trace, duration, name, what it was about."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            print(span_line(span), file=sys.stderr, flush=True)
        return SpanExportResult.SUCCESS


def span_line(span: ReadableSpan) -> str:
    """``trace 1a2b3c4d  132 ms  SyncInboundWorker  connectionId=…``; the inner spans of a trace end first."""
    milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    about = " ".join(f"{name}={value!s}" for name, value in (span.attributes or {}).items())
    failed = " FAILED" if span.status.status_code is StatusCode.ERROR else ""
    return (
        f"trace {span.context.trace_id:032x}"[:14] + f" {milliseconds:8.1f} ms  {span.name}{failed}  {about}"
    )
