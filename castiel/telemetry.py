"""Metrics by their names, and log context. Only the OpenTelemetry API: who exports is the host's to configure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import metrics, trace

logger = logging.getLogger(__name__)
_meter = metrics.get_meter("castiel")

COUNTERS: Mapping[str, str] = {
    "sync_scheduler_success": "Tasks queued",
    "sync_scheduler_failure": "Tasks that could not be queued",
    "inbound_worker_success": "Inbound executions that ended well",
    "inbound_worker_failure": "Inbound executions that failed",
    "inbound_records": "Records pulled",
    "outbound_worker_success": "Records pushed",
    "outbound_worker_failure": "Records that could not be pushed",
    "token_refresh_success": "Tokens refreshed",
    "token_refresh_failure": "Tokens that could not be refreshed",
    "webhook_received": "Deliveries received",
    "webhook_rejected": "Deliveries refused",
    "conflicts_detected": "Conflicts met",
    "rate_limited": "Calls that a rate limit stopped",
    "rate_limit_alerts": "Alerts of the rate limiter",
    "rate_limiter_fallback": "Decisions made without Redis",
    "circuit_opened": "Connections left alone after failures in a row",
    "retries_scheduled": "Messages put back with a delay",
}
HISTOGRAMS: Mapping[str, str] = {
    "sync_scheduler_duration_ms": "One scheduler run",
    "inbound_worker_duration_ms": "One inbound execution",
    "outbound_worker_duration_ms": "One record's push",
    "token_refresh_duration_ms": "One token's refresh",
    "webhook_duration_ms": "One delivery",
    "queue_wait_ms": "From when a message could be received to when its work began",
}

_counters = {name: _meter.create_counter(name, description=text) for name, text in COUNTERS.items()}
_histograms = {
    name: _meter.create_histogram(name, unit="ms", description=text) for name, text in HISTOGRAMS.items()
}


def count(name: str, amount: int = 1, **attributes: str | int | bool) -> None:
    """Add to one of :data:`COUNTERS`."""
    _counters[name].add(amount, attributes)


def record(name: str, milliseconds: float, **attributes: str | int | bool) -> None:
    """Record a duration in one of :data:`HISTOGRAMS`."""
    _histograms[name].record(milliseconds, attributes)


async def flush(seconds: float = 5.0) -> None:
    """Have what was recorded sent now: after a timer's run the platform may take the instance away at any moment."""
    for provider in (metrics.get_meter_provider(), trace.get_tracer_provider()):
        # Only an SDK's provider has something to send; the API's own has not.
        send = getattr(provider, "force_flush", None)
        if send is None:
            continue
        try:
            await asyncio.to_thread(send, int(seconds * 1000))
        except Exception as error:  # noqa: BLE001 - a run that did its work has not failed because nobody could be told
            logger.warning("telemetry not sent: %s", type(error).__name__)


_context: ContextVar[dict[str, Any] | None] = ContextVar("castiel_log_context", default=None)


@contextmanager
def log_context(**attributes: Any) -> Iterator[None]:
    """Every log line in the block carries these attributes (they become customDimensions)."""
    token = _context.set({**(_context.get() or {}), **{k: v for k, v in attributes.items() if v is not None}})
    try:
        yield
    finally:
        _context.reset(token)


def current_context() -> dict[str, Any]:
    """The attributes that :func:`log_context` has set here."""
    return dict(_context.get() or {})


class ContextFilter(logging.Filter):
    """Gives Castiel's log records the context. What a line says itself stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("castiel"):
            for name, value in (_context.get() or {}).items():
                if name not in record.__dict__:
                    setattr(record, name, value)
        return True


def install_log_context() -> None:
    """Put the filter on every handler of the root's and Castiel's loggers; again is fine, new handlers get it too.

    On handlers, because a logger's filters do not see its children's records, and a record factory's attributes
    would clash with those in a line's ``extra``.
    """
    for logger in (logging.getLogger(), logging.getLogger("castiel")):
        for handler in logger.handlers:
            if not any(isinstance(each, ContextFilter) for each in handler.filters):
                handler.filters.insert(0, ContextFilter())
