"""Traces that travel with messages, and what a span says."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from castiel import telemetry, tracing
from castiel.errors import NotFound
from castiel.ports.messaging import QueueMessage, ReceivedMessage
from castiel.services.retries import Retries
from tests.support.fakes.coordination import MemoryQueue, YieldingClock
from tests.support.receiver import Door

FIRST = {"traceparent": "00-11111111111111111111111111111111-1111111111111111-01"}
SECOND = {"traceparent": "00-22222222222222222222222222222222-2222222222222222-01"}


class Spans:
    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """What is recorded, by a provider of this test's own."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("castiel"))
    yield Spans(exporter)
    provider.shutdown()


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def test_a_message_carries_the_trace_it_was_made_in(spans: Spans) -> None:
    with tracing.span("sender"):
        message = QueueMessage("m", "{}", "c")
    with tracing.span("receiver", parent=message.trace):
        pass
    [sender], [receiver] = spans.named("sender"), spans.named("receiver")
    assert trace_of(receiver) == trace_of(sender)
    assert receiver.parent is not None
    assert receiver.parent.span_id == sender.context.span_id


def test_without_a_recorder_nothing_is_carried_but_what_came() -> None:
    with tracing.span("quiet"):
        assert QueueMessage("m", "{}", "c").trace == {}
    with tracing.span("quiet", parent=FIRST):
        assert QueueMessage("m", "{}", "c").trace["traceparent"].startswith(FIRST["traceparent"][:36])


@pytest.mark.parametrize("name", ["traceparent", "Diagnostic-Id"])
def test_a_received_message_says_its_trace(name: str) -> None:
    parent = FIRST["traceparent"]
    received = ReceivedMessage(b"{}", "m", properties={name: parent, "tracestate": "a=b", "attempt": 1})
    assert received.trace == {"traceparent": parent, "tracestate": "a=b"}


@pytest.mark.parametrize("value", ["", "not a trace", 7, None])
def test_a_trace_that_cannot_be_read_begins_a_new_one(spans: Spans, value: object) -> None:
    received = ReceivedMessage(b"{}", "m", properties={"traceparent": value})
    with tracing.span("receiver", parent=received.trace):
        pass
    [span] = spans.named("receiver")
    assert span.parent is None


def test_the_hosts_span_of_the_same_trace_stays_the_parent(spans: Spans) -> None:
    with tracing.continued(FIRST), tracing.span("host"), tracing.span("handler", parent=FIRST):
        pass
    [host], [handler] = spans.named("host"), spans.named("handler")
    assert handler.parent is not None
    assert handler.parent.span_id == host.context.span_id


def test_the_hosts_span_of_another_trace_is_linked(spans: Spans) -> None:
    with tracing.continued(SECOND), tracing.span("handler", parent=FIRST):
        pass
    [handler] = spans.named("handler")
    assert trace_of(handler) == "1" * 32
    assert [f"{link.context.trace_id:032x}" for link in handler.links] == ["2" * 32]


def test_a_root_is_a_trace_of_its_own_linked_to_the_current_one(spans: Spans) -> None:
    with tracing.span("run"), tracing.span("task", root=True):
        pass
    [run], [task] = spans.named("run"), spans.named("task")
    assert task.parent is None
    assert trace_of(task) != trace_of(run)
    assert [link.context.span_id for link in task.links] == [run.context.span_id]


def test_shared_work_shows_in_each_of_its_traces(spans: Spans) -> None:
    with tracing.shared_span("push", [FIRST, SECOND, FIRST, {}]):
        pass
    by_trace = {trace_of(span): span for span in spans.named("push")}
    assert set(by_trace) == {"1" * 32, "2" * 32}
    assert len(spans.named("push")) == 2
    done, mirror = by_trace["1" * 32], by_trace["2" * 32]
    assert [link.context.span_id for link in mirror.links] == [done.context.span_id]
    assert [f"{link.context.trace_id:032x}" for link in done.links] == ["2" * 32]


def test_a_delayed_copy_goes_on_in_its_messages_trace(spans: Spans) -> None:
    retries = Retries(YieldingClock(), max_retries=3, base_seconds=1)
    received = ReceivedMessage(b"{}", "m", properties=SECOND)
    with tracing.shared_span("push", [FIRST, SECOND]):
        copy = retries.delayed(MemoryQueue(), received, delay=1, attempt=1, reason="r")
    assert copy.trace == SECOND


def test_a_failure_is_told_by_its_code_never_by_its_text(spans: Spans) -> None:
    with pytest.raises(NotFound), tracing.span("work"):
        raise NotFound("ada@example.com is not there")
    with pytest.raises(ValueError, match="ada"), tracing.span("work"):
        raise ValueError("ada@example.com")
    told, unexpected = spans.named("work")
    assert (told.attributes or {})["error.type"] == "NotFound"
    assert (unexpected.attributes or {})["error.type"] == "ValueError"
    for span in (told, unexpected):
        assert span.status.status_code is StatusCode.ERROR
        assert "ada@example.com" not in span.to_json()


def test_a_provider_call_tells_host_operation_and_status_only(spans: Spans) -> None:
    with (
        telemetry.log_context(integrationId="google", operation="fetch", tenantId="t-1"),
        tracing.provider_call("GET", "https://people.example.com/v1/people?email=ada@example.com") as call,
    ):
        tracing.answered(call, 404)
    [span] = spans.named("google fetch")
    assert dict(span.attributes or {}) == {
        "integrationId": "google",
        "operation": "fetch",
        "tenantId": "t-1",
        "http.request.method": "GET",
        "url.scheme": "https",
        "server.address": "people.example.com",
        "server.port": 443,
        "http.response.status_code": 404,
        "error.type": "404",
    }
    assert span.status.status_code is StatusCode.ERROR


def test_a_lines_own_attributes_stand_beside_the_contexts() -> None:
    """A record factory that sets them would make ``logging`` refuse the line's own: KeyError."""
    logger, seen = logging.getLogger("castiel.tests.context"), []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger("castiel").addHandler(handler)
    try:
        telemetry.install_log_context()
        telemetry.install_log_context()
        with telemetry.log_context(function="SyncInboundWorker", tenantId="t-1", missing=None):
            logger.error("said", extra={"function": "TokenRefresher", "credentialId": "c-1"})
    finally:
        logging.getLogger("castiel").removeHandler(handler)
    [record] = seen
    assert (record.function, record.tenantId, record.credentialId) == ("TokenRefresher", "t-1", "c-1")
    assert not hasattr(record, "missing")
    assert len([each for each in handler.filters if isinstance(each, telemetry.ContextFilter)]) == 1


async def test_a_delivery_that_waited_goes_on_in_its_own_trace() -> None:
    """Sent by the sweep, in whatever trace that runs."""
    door = Door()
    try:
        await door.plant()
        door.outbound.down = True
        with tracing.continued(FIRST):
            await door.salesforce()
        await door.pending.stop()
        door.outbound.down = False
        with tracing.continued(SECOND):
            await door.pending.sweep()
        [message] = door.outbound.sent
        assert message.trace["traceparent"].split("-")[1] == "1" * 32
    finally:
        await door.pending.stop()
        await door.background.drained()
        await door.http.aclose()
