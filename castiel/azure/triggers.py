"""From the Functions worker's types to Castiel's, and back: the serverless layer only translates."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import azure.functions as func

from castiel import telemetry
from castiel.domain.webhooks import WebhookRequest, WebhookResponse
from castiel.ports.messaging import ReceivedMessage


def received(message: func.ServiceBusMessage, function: str) -> ReceivedMessage:
    """A Service Bus message as the trigger hands it over. Records how long it waited, for this function.

    A scheduled message waits from when it was due: it is appended to the queue as if it had been sent then
    (https://learn.microsoft.com/azure/service-bus-messaging/message-sequencing#scheduled-messages).
    """
    properties = dict(message.application_properties or {})
    # In a batch the worker shifts the messages' own correlation ids when some have none: the property stays put.
    correlation_id = properties.get("correlationId") or message.correlation_id
    enqueued = message.enqueued_time_utc
    # The worker hands over naive UTC.
    if enqueued is not None and enqueued.tzinfo is None:
        enqueued = enqueued.replace(tzinfo=UTC)
    if enqueued is not None:
        waited = (datetime.now(UTC) - enqueued).total_seconds() * 1000
        telemetry.record("queue_wait_ms", max(0.0, waited), function=function)
    return ReceivedMessage(
        body=message.get_body(),
        message_id=message.message_id,
        correlation_id=str(correlation_id) if correlation_id else None,
        # The trigger counts deliveries from 1.
        delivery_count=max(0, (message.delivery_count or 1) - 1),
        enqueued_at=enqueued,
        properties=properties,
    )


def webhook_request(request: func.HttpRequest) -> WebhookRequest:
    """An HTTP request with its raw body; header names in lower case."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return WebhookRequest(
        registration_id=request.route_params.get("registrationId", ""),
        path=request.route_params.get("path", ""),
        headers=headers,
        body=request.get_body(),
        source_ip=_client_address(headers.get("x-forwarded-for", "")),
    )


def http_response(response: WebhookResponse) -> func.HttpResponse:
    """The answer, as JSON."""
    return func.HttpResponse(
        json.dumps(response.body),
        status_code=response.status,
        headers=response.headers,
        mimetype="application/json",
    )


def _client_address(forwarded_for: str) -> str | None:
    """The address the platform's front end saw: the last one in the list, which the client can't choose.

    https://learn.microsoft.com/azure/app-service/overview-security (the front end appends ``address:port``).
    """
    last = forwarded_for.rsplit(",", 1)[-1].strip()
    if not last:
        return None
    if last.startswith("["):
        return last[1:].partition("]")[0]
    return last.partition(":")[0] if last.count(":") == 1 else last
