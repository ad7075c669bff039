"""A message as a queue keeps it: what the client sent, and what the broker knows about it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proton import int32, symbol, timestamp, uint

from infra.local.servicebus import sections

SCHEDULED_TIME = symbol("x-opt-scheduled-enqueue-time")


class MessageState(enum.IntEnum):
    """The values of the annotation ``x-opt-message-state`` (a locked message stays active)."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True)
class Content:
    """What a client sent, section by section; sections that the broker never changes stay encoded."""

    header: list[Any]
    annotations: dict[Any, Any]
    properties: bytes
    application_properties: bytes
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Content:
        """Take an encoded message apart. Raises MalformedMessageError."""
        parts: dict[int, bytes] = {}
        values: dict[int, bytes] = {}
        body = b""
        for section in sections.split_sections(raw):
            if section.code >= sections.DATA:
                body += raw[section.start : section.end]
            else:
                parts[section.code] = raw[section.start : section.end]
                values[section.code] = raw[section.value : section.end]
        header = values.get(sections.HEADER)
        annotations = values.get(sections.MESSAGE_ANNOTATIONS)
        return cls(
            header=sections.decode_value(header) if header else [],
            annotations=sections.decode_value(annotations) if annotations else {},
            properties=parts.get(sections.PROPERTIES, b""),
            application_properties=parts.get(sections.APPLICATION_PROPERTIES, b""),
            body=body,
        )

    def encode(self, delivery_count: int = 0, broker_annotations: Mapping[Any, Any] | None = None) -> bytes:
        """The message with this delivery count and the broker's annotations over the client's own.

        The header is always written in full: an SDK shows no delivery count for a header that leaves it out.
        """
        header = [*self.header, None, None, None, None][:4]
        annotations = {**self.annotations, **(broker_annotations or {})}
        return b"".join(
            (
                sections.encode_section(sections.HEADER, [*header, uint(delivery_count)]),
                sections.encode_section(sections.MESSAGE_ANNOTATIONS, annotations) if annotations else b"",
                self.properties,
                self.application_properties,
                self.body,
            )
        )

    @property
    def message_id(self) -> str | None:
        """The message id as text, for duplicate detection."""
        value = self._property(0)
        return None if value is None else str(value)

    @property
    def time_to_live(self) -> float | None:
        """Seconds the client wants it to live after it was enqueued."""
        milliseconds = self.header[2] if len(self.header) > 2 else None
        return None if milliseconds is None else float(milliseconds) / 1000

    @property
    def scheduled_for(self) -> float | None:
        """When the client wants it enqueued, in seconds since the epoch."""
        value = self.annotations.get(SCHEDULED_TIME)
        return None if value is None else float(value) / 1000

    def add_application_properties(self, added: Mapping[str, Any]) -> None:
        """Set these application properties, leaving the others as they are."""
        current: dict[Any, Any] = {}
        if self.application_properties:
            current = sections.decode_value(self.application_properties).value
        self.application_properties = sections.encode_section(
            sections.APPLICATION_PROPERTIES, {**current, **added}
        )

    def _property(self, index: int) -> Any:
        if not self.properties:
            return None
        fields = sections.decode_value(self.properties).value
        return fields[index] if len(fields) > index else None


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """One message in one queue. Times are seconds since the epoch."""

    sequence: int
    content: Content
    enqueued_at: float
    state: MessageState = MessageState.ACTIVE
    due_at: float | None = None
    expires_at: float | None = None
    delivery_count: int = 0
    lock: bytes | None = None
    locked_until: float = 0.0

    def encode(self) -> bytes:
        """The message as a receiver gets it.

        Annotations: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide
        """
        annotations: dict[Any, Any] = {
            symbol("x-opt-sequence-number"): self.sequence,
            symbol("x-opt-enqueued-time"): milliseconds(self.enqueued_at),
            symbol("x-opt-message-state"): int32(self.state),
        }
        if self.lock is not None:
            annotations[symbol("x-opt-locked-until")] = milliseconds(self.locked_until)
        return self.content.encode(self.delivery_count, annotations)


def milliseconds(seconds: float) -> timestamp:
    """Seconds since the epoch as an AMQP timestamp."""
    return timestamp(round(seconds * 1000))
