"""Spans, and the trace that travels with messages. Only the OpenTelemetry API: who exports is the host's to configure.

A span carries the log context (function, ids) as attributes: never a secret, a URL's path or query, or a record's values.
What went wrong is an error's code or class, never its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from castiel.errors import CastielError
from castiel.telemetry import current_context

_tracer = trace.get_tracer("castiel")
_w3c = TraceContextTextMapPropagator()

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
DIAGNOSTIC_ID = "Diagnostic-Id"
"""The older name of ``traceparent`` in Service Bus messages, which the Functions host still reads:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-end-to-end-tracing"""

Carrier = Mapping[str, str]
"""A trace on its way: ``traceparent`` and perhaps ``tracestate`` (https://www.w3.org/TR/trace-context/)."""


def carrier() -> Carrier:
    """The current trace, to go on in another process; empty when nothing is traced."""
    found: dict[str, str] = {}
    _w3c.inject(found)
    return found


def carrier_of(properties: Mapping[str, object]) -> Carrier:
    """The trace in a message's application properties; empty when there is none."""
    parent = properties.get(TRACEPARENT) or properties.get(DIAGNOSTIC_ID)
    state = properties.get(TRACESTATE)
    if not isinstance(parent, str):
        return {}
    return {TRACEPARENT: parent, **({TRACESTATE: state} if isinstance(state, str) else {})}


@contextmanager
def continued(trace_on_its_way: Carrier) -> Iterator[None]:
    """What starts in the block belongs to this trace; without one nothing changes."""
    if not _span_context(trace_on_its_way).is_valid:
        yield
        return
    token = otel_context.attach(_w3c.extract(trace_on_its_way))
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def span(
    name: str,
    *,
    parent: Carrier | None = None,
    links: Sequence[Carrier] = (),
    kind: SpanKind = SpanKind.INTERNAL,
    root: bool = False,
) -> Iterator[Span]:
    """A span around the block, with the log context as attributes.

    ``parent``: the trace it belongs to; the current one without it. ``root``: a trace of its own, linked to the
    current one.
    """
    here, there = trace.get_current_span().get_span_context(), _span_context(parent or {})
    linked = [_span_context(each) for each in links]
    inside: Context | None = None
    if root:
        inside, linked = Context(), [*linked, here]
    elif there.is_valid and there.trace_id != here.trace_id:
        # The host's own span goes on as the parent when it belongs to the message's trace.
        inside, linked = _w3c.extract(parent or {}), [*linked, here]
    with _tracer.start_as_current_span(
        name,
        context=inside,
        kind=kind,
        attributes=current_context(),
        links=[Link(each) for each in linked if each.is_valid],
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except BaseException as error:
            failed(started, error)
            raise


@contextmanager
def shared_span(name: str, traces: Sequence[Carrier]) -> Iterator[Span]:
    """One piece of work for messages of several traces: it belongs to the first, and each other one gets a span of
    the same name that links to it."""
    distinct = list({_span_context(each).trace_id: each for each in traces if each}.values())
    first, others = (distinct[0], distinct[1:]) if distinct else ({}, [])
    with span(name, parent=first, links=others) as started:
        links = [Link(started.get_span_context())]
        mirrors = [
            _tracer.start_span(name, context=_w3c.extract(each), attributes=current_context(), links=links)
            for each in others
        ]
        try:
            yield started
        finally:
            for mirror in mirrors:
                mirror.end()


@contextmanager
def provider_call(method: str, url: str) -> Iterator[Span]:
    """A span around one HTTP call to a provider, by host alone: paths and queries may name records."""
    known = current_context()
    name = " ".join(str(known[part]) for part in ("integrationId", "operation") if part in known)
    parts = urlsplit(url)
    with span(name or method, kind=SpanKind.CLIENT) as started:
        started.set_attribute("http.request.method", method)
        started.set_attribute("url.scheme", parts.scheme)
        started.set_attribute("server.address", parts.hostname or "")
        started.set_attribute("server.port", parts.port or (80 if parts.scheme == "http" else 443))
        yield started


def answered(at: Span, status: int) -> None:
    """Note an HTTP answer's status; from 400 on the call counts as failed."""
    at.set_attribute("http.response.status_code", status)
    if status >= 400:
        at.set_attribute("error.type", str(status))
        at.set_status(Status(StatusCode.ERROR))


def failed(at: Span, error: BaseException) -> None:
    """Mark a span as failed, by the error's code or class."""
    code = error.code if isinstance(error, CastielError) else type(error).__name__
    at.set_attribute("error.type", code)
    at.set_status(Status(StatusCode.ERROR, code))


def _span_context(trace_on_its_way: Carrier) -> SpanContext:
    return trace.get_current_span(_w3c.extract(trace_on_its_way, context=Context())).get_span_context()
