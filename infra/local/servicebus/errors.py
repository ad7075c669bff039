"""AMQP error conditions as clients are told them.

Conditions: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot
"""

from __future__ import annotations

from typing import Any

from proton import Condition, symbol

NOT_FOUND = "amqp:not-found"
NOT_ALLOWED = "amqp:not-allowed"
NOT_IMPLEMENTED = "amqp:not-implemented"
INVALID_FIELD = "amqp:invalid-field"
DECODE_ERROR = "amqp:decode-error"
SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
LOCK_LOST = "com.microsoft:message-lock-lost"
MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"

# azure-servicebus 7.15 reads the third field of an error, which the engine leaves out when it is empty.
_INFO: Any = {symbol("tracking-id"): "local"}

_TEXTS = {
    LOCK_LOST: "The lock supplied is invalid. Either the lock expired, or the message has already been removed.",
    MESSAGE_NOT_FOUND: "No message with the given sequence number is in the state this needs.",
}


def condition(name: str, text: str | None = None) -> Condition:
    """The error ``name``, with its usual text or this one."""
    return Condition(name, text or _TEXTS[name], _INFO)
