"""From the Functions worker's types to Castiel's, and back: the serverless layer only translates."""

from __future__ import annotations

import json
from datetime import UTC

import azure.functions as func

from castiel.domain.webhooks import WebhookRequest, WebhookResponse
from castiel.ports.messaging import ReceivedMessage


def received(message: func.ServiceBusMessage) -> ReceivedMessage:
    """A Service Bus message as the trigger hands it over."""
    properties = dict(message.application_properties or {})
    # In a batch the worker shifts the messages' own correlation ids when some have none: the property stays put.
    correlation_id = properties.get("correlationId") or message.correlation_id
    enqueued = message.enqueued_time_utc
    return ReceivedMessage(
        body=message.get_body(),
        message_id=message.message_id,
        correlation_id=str(correlation_id) if correlation_id else None,
        # The trigger counts deliveries from 1.
        delivery_count=max(0, (message.delivery_count or 1) - 1),
        # The worker hands over naive UTC.
        enqueued_at=enqueued.replace(tzinfo=UTC) if enqueued and enqueued.tzinfo is None else enqueued,
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
