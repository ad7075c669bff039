"""The operations of a queue's ``$management`` node.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from proton import UNDESCRIBED, Array, Data, Message, int32, symbol

from infra.local.servicebus import errors
from infra.local.servicebus.message import Content, milliseconds
from infra.local.servicebus.queues import LockLostError, MessageNotFoundError, MessageQueue
from infra.local.servicebus.sections import MalformedMessageError

PEEK_LOCK = 1
MAX_MESSAGE_BYTES = 256 * 1024
"""https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas: Standard tier."""


class Reply(NamedTuple):
    """Status, body and error of an operation, in the terms of HTTP."""

    status: int
    body: Any = None
    error: str | None = None
    text: str | None = None

    def message(self, request: Message) -> Message:
        """The answer to ``request``."""
        description = self.text or ("OK" if self.error is None else self.error)
        properties: dict[str, Any] = {
            "statusCode": int32(self.status),
            "statusDescription": description,
            "status-code": int32(self.status),  # $cbs names them with dashes
            "status-description": description,
        }
        if self.error is not None:
            properties["errorCondition"] = symbol(self.error)
        answer = Message(correlation_id=request.id, properties=properties, body=self.body)
        answer.inferred = False
        return answer


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: the queue it is for, its body, and when it came."""

    queue: MessageQueue
    body: Mapping[str, Any]
    now: float

    @property
    def sequences(self) -> list[int]:
        return list(self.body["sequence-numbers"].elements)

    @property
    def tokens(self) -> list[bytes]:
        # A lock token is a .NET GUID: the delivery tag has its bytes in mixed-endian order.
        return [token.bytes_le for token in self.body["lock-tokens"].elements]

    @property
    def changes(self) -> dict[str, Any]:
        return {str(key): value for key, value in (self.body.get("properties-to-modify") or {}).items()}


def handle(queue: MessageQueue, request: Message, now: float) -> Reply:
    """Run the operation a request names."""
    properties: Any = request.properties or {}
    name = str(properties.get("operation", "")).removeprefix("com.microsoft:")
    operation = _OPERATIONS.get(name)
    if operation is None:
        return Reply(501, None, errors.NOT_IMPLEMENTED, f"The operation '{name}' is not implemented.")
    body: Any = request.body
    try:
        return operation(_Call(queue, body, now))
    except LockLostError:
        return _failure(410, errors.LOCK_LOST)
    except MessageNotFoundError:
        return _failure(404, errors.MESSAGE_NOT_FOUND)
    except (KeyError, TypeError, AttributeError) as error:
        return Reply(400, None, errors.INVALID_FIELD, f"'{name}' is not asked as it should be: {error!r}")
    except MalformedMessageError as error:
        return Reply(400, None, errors.DECODE_ERROR, str(error))


def _failure(status: int, error: str) -> Reply:
    return Reply(status, None, error, errors.condition(error).description)


def _schedule(call: _Call) -> Reply:
    encoded = [bytes(entry["message"]) for entry in call.body["messages"]]
    if any(len(raw) > MAX_MESSAGE_BYTES for raw in encoded):
        return Reply(413, None, errors.SIZE_EXCEEDED, "The message is larger than 256 KB.")
    contents = [Content.parse(raw) for raw in encoded]
    numbers = [call.queue.send(content, call.now) for content in contents]
    return Reply(200, {"sequence-numbers": _array(Data.LONG, numbers)})


def _cancel(call: _Call) -> Reply:
    call.queue.cancel_scheduled(call.sequences)
    return Reply(200, {})


def _renew(call: _Call) -> Reply:
    until = call.queue.renew(call.tokens, call.now)
    return Reply(200, {"expirations": _array(Data.TIMESTAMP, [milliseconds(time) for time in until])})


def _update_disposition(call: _Call) -> Reply:
    status = call.body["disposition-status"]
    settle = _DISPOSITIONS.get(status)
    if settle is None:
        return Reply(501, None, errors.NOT_IMPLEMENTED, f"The disposition '{status}' is not implemented.")
    for token in call.tokens:
        settle(call, token)
    return Reply(200)


def _receive_deferred(call: _Call) -> Reply:
    lock = call.body.get("receiver-settle-mode") == PEEK_LOCK
    entries: list[dict[str, Any]] = []
    for message in call.queue.receive_deferred(call.sequences, call.now, lock=lock):
        entry: dict[str, Any] = {"message": message.encode()}
        if message.lock is not None:
            entry["lock-token"] = uuid.UUID(bytes_le=message.lock)
        entries.append(entry)
    return Reply(200, {"messages": entries})


def _peek(call: _Call) -> Reply:
    messages = call.queue.peek(int(call.body["from-sequence-number"]), int(call.body["message-count"]))
    if not messages:
        return Reply(204)
    return Reply(200, {"messages": [{"message": message.encode()} for message in messages]})


def _complete(call: _Call, token: bytes) -> None:
    call.queue.complete(token)


def _abandon(call: _Call, token: bytes) -> None:
    call.queue.abandon(token, call.now, call.changes)


def _defer(call: _Call, token: bytes) -> None:
    call.queue.defer(token, call.changes)


def _suspend(call: _Call, token: bytes) -> None:
    reason, text = call.body.get("deadletter-reason"), call.body.get("deadletter-description")
    call.queue.move_to_dead_letter(token, reason, text, call.changes)


def _array(kind: Any, elements: list[Any]) -> Array:
    undescribed: Any = UNDESCRIBED
    return Array(undescribed, kind, *elements)


_DISPOSITIONS: dict[str, Callable[[_Call, bytes], None]] = {
    "completed": _complete,
    "abandoned": _abandon,
    "defered": _defer,  # spelt so on the wire
    "suspended": _suspend,
}

_OPERATIONS: dict[str, Callable[[_Call], Reply]] = {
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "renew-lock": _renew,
    "update-disposition": _update_disposition,
    "receive-by-sequence-number": _receive_deferred,
    "peek-message": _peek,
}
