"""What the Functions host sends to a Python worker for each trigger, as azure-functions' ``Datum`` values.

The shapes follow the host's conversion code (Azure/azure-functions-host, GrpcMessageConversionExtensions.cs) and the
Service Bus extension's (ServiceBusTriggerBindingStrategy.cs), including what they lose:

- a request without Content-Length reaches the worker without its body;
- query parameters without a value are left out;
- in an array of strings, empty and missing entries are left out, so the entries after them move up: in a batch, a
  property that only some messages carry (correlation id, content type…) does not line up with the messages, nor do
  the bodies when one is empty. Only arrays sent as JSON (application properties, delivery counts, times) keep places;
- times of Service Bus messages carry no zone and reach the function as naive datetimes in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.functions.meta import Datum
from azure.servicebus import ServiceBusReceivedMessage

Metadata = dict[str, Datum]


@dataclass(frozen=True)
class StringCollection:
    """The protocol's CollectionString."""

    string: list[str]


@dataclass(frozen=True)
class IntegerCollection:
    """The protocol's CollectionSInt64."""

    sint64: list[int]


@dataclass(frozen=True)
class HttpCall:
    """One HTTP request as it came in; ``query`` and ``headers`` may repeat names."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    query: Sequence[tuple[str, str]]
    route_values: Mapping[str, str]
    body: bytes


def http_datum(call: HttpCall) -> Datum:
    """Return the request as the worker gets it (RawHttpBodyBytes, RpcHttpBodyOnly)."""
    return Datum(
        type="http",
        value={
            "method": Datum(call.method, "string"),
            "url": Datum(call.url, "string"),
            "headers": _strings(_joined((name.lower(), value) for name, value in call.headers)),
            "query": _strings({name: value for name, value in _joined(call.query).items() if value}),
            "params": _strings(call.route_values),
            "body": Datum(call.body, "bytes"),
        },
    )


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in pairs:
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _strings(values: Mapping[str, str]) -> Metadata:
    return {name: Datum(value, "string") for name, value in values.items()}


def timer_datum(*, past_due: bool, status: Mapping[str, str] | None) -> Datum:
    """Return a timer's data; ``status`` holds Last, Next and LastUpdated of a monitored schedule."""
    info = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": dict(status) if status else None,
        "IsPastDue": past_due,
    }
    return Datum(json.dumps(info), "json")


def message_data(message: ServiceBusReceivedMessage) -> tuple[Datum, Metadata]:
    """Return the body and the trigger metadata of one message (cardinality one)."""
    metadata = {name: _single(read(message)) for name, read in _PROPERTIES.items()}
    return Datum(_text(message), "string"), {
        name: datum for name, datum in metadata.items() if datum is not None
    }


def batch_data(messages: Sequence[ServiceBusReceivedMessage]) -> tuple[Datum, Metadata]:
    """Return the bodies and the trigger metadata of a batch (cardinality many)."""
    metadata = {
        f"{name}Array": _array([read(message) for message in messages]) for name, read in _PROPERTIES.items()
    }
    return _string_collection([_text(message) for message in messages]), metadata


def _text(message: ServiceBusReceivedMessage) -> str:
    return body_of(message).decode("utf-8", errors="replace")


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """Return a message's body, whatever number of data sections it came in."""
    body = message.body
    return body if isinstance(body, bytes) else b"".join(body)


def _single(value: object) -> Datum | None:
    match value:
        case None:
            return None
        case str():
            return Datum(value, "string")
        case _:
            return Datum(_json(value), "json")


def _array(values: list[Any]) -> Datum:
    kinds = {type(value) for value in values}
    if kinds <= {str, type(None)}:
        return _string_collection(values)
    if kinds == {_Long}:
        return Datum(IntegerCollection([int(value) for value in values]), "collection_sint64")
    return Datum(_json(values), "json")


def _string_collection(values: Sequence[str | None]) -> Datum:
    return Datum(StringCollection([value for value in values if value]), "collection_string")


def _json(value: object) -> str:
    return json.dumps(value, default=_json_default)


def _json_default(value: object) -> object:
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


class _Long(int):
    """A .NET long, which travels differently from an int."""


def _application_properties(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    properties = message.application_properties or {}
    return {_decoded(name): _decoded(value) for name, value in properties.items()}


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


_END_OF_CALENDAR = datetime.max.replace(tzinfo=UTC)

# Messages without a time to live expire at the end of .NET's calendar; .NET counts the delivery under way, AMQP the failed ones before it.
_PROPERTIES: dict[str, Callable[[ServiceBusReceivedMessage], Any]] = {
    "DeliveryCount": lambda message: (message.delivery_count or 0) + 1,
    "DeadLetterSource": lambda message: message.dead_letter_source,
    "LockToken": lambda message: str(message.lock_token),
    "ExpiresAtUtc": lambda message: message.expires_at_utc or _END_OF_CALENDAR,
    "EnqueuedTimeUtc": lambda message: message.enqueued_time_utc,
    "MessageId": lambda message: message.message_id,
    "ContentType": lambda message: message.content_type,
    "ReplyTo": lambda message: message.reply_to,
    "SequenceNumber": lambda message: _Long(message.sequence_number or 0),
    "To": lambda message: message.to,
    "Subject": lambda message: message.subject,
    "Label": lambda message: message.subject,
    "CorrelationId": lambda message: message.correlation_id,
    "ApplicationProperties": _application_properties,
    "UserProperties": _application_properties,
    "SessionId": lambda message: message.session_id,
    "ReplyToSessionId": lambda message: message.reply_to_session_id,
    "PartitionKey": lambda message: message.partition_key,
}
