"""The fields of contacts and events. Google has the same for every account, and no call that lists them.

Sources: the APIs' discovery documents (people:v1, calendar:v3)
"""

from __future__ import annotations

from collections.abc import Iterator

from castiel.adapters.google import contacts, events
from castiel.adapters.google.people_fields import CARDS, WRITABLE_LISTS
from castiel.domain.fields import EntityDescription, FieldDescription, FieldType

_LABELS = {
    "name": "Name",
    "emailAddress": "E-mail address",
    "phoneNumber": "Phone number",
    "mobilePhone": "Mobile phone",
    "organization": "Organization",
    "address": "Address",
    "url": "Website",
    "biography": "Notes",
    "birthday": "Birthday",
}
_CARD_TYPES: dict[str, FieldType] = {
    "emailAddress.value": "email",
    "phoneNumber.value": "phone",
    "mobilePhone.value": "phone",
    "url.value": "url",
    "biography.value": "text",
    "birthday.date": "date",
}


def _contact_fields() -> Iterator[FieldDescription]:
    for card in CARDS:
        label = _LABELS[card.name]
        for member in card.members:
            name = f"{card.name}.{member}"
            yield FieldDescription(name, _CARD_TYPES.get(name, "string"), label=f"{label}: {member}")
    yield FieldDescription("name.displayName", "string", writable=False, label="Name: as shown")
    for plural in WRITABLE_LISTS:
        yield FieldDescription(plural, "list", label=plural)


def _event_fields() -> Iterator[FieldDescription]:
    yield FieldDescription("summary", "string", label="Title")
    yield FieldDescription("description", "text", label="Description (may contain HTML)")
    yield FieldDescription("location", "string", label="Location")
    for name, label in (("start", "Start"), ("end", "End")):
        yield FieldDescription(name, "object", required=True, label=label)
        yield FieldDescription(f"{name}.dateTime", "datetime", label=f"{label}: moment")
        yield FieldDescription(f"{name}.date", "date", label=f"{label}: day, of an event of whole days")
        yield FieldDescription(f"{name}.timeZone", "string", label=f"{label}: time zone (IANA)")
    yield FieldDescription("status", "enum", values=("confirmed", "tentative", "cancelled"), label="Status")
    yield FieldDescription("transparency", "enum", values=("opaque", "transparent"), label="Shows as")
    visibilities = ("default", "public", "private", "confidential")
    yield FieldDescription("visibility", "enum", values=visibilities, label="Visibility")
    for name in ("attendees", "recurrence", "attachments"):
        yield FieldDescription(name, "list", label=name.capitalize())
    for name in ("reminders", "extendedProperties", "source"):
        yield FieldDescription(name, "object", label=name)
    for name in ("guestsCanInviteOthers", "guestsCanModify", "guestsCanSeeOtherGuests", "anyoneCanAddSelf"):
        yield FieldDescription(name, "boolean", label=name)
    for name in ("colorId", "eventLabelId"):
        yield FieldDescription(name, "string", label=name)
    read_only: tuple[tuple[str, FieldType], ...] = (
        ("created", "datetime"),
        ("updated", "datetime"),
        ("htmlLink", "url"),
        ("hangoutLink", "url"),
        ("iCalUID", "string"),
        ("recurringEventId", "reference"),
        ("originalStartTime", "object"),
        ("eventType", "string"),
        ("sequence", "integer"),
        ("creator", "object"),
        ("organizer", "object"),
        ("conferenceData", "object"),
    )
    for name, kind in read_only:
        yield FieldDescription(name, kind, writable=False, label=name)


DESCRIPTIONS = (
    EntityDescription(contacts.ENTITY, "Contact", tuple(_contact_fields())),
    EntityDescription(events.ENTITY, "Event", tuple(_event_fields())),
)
"""Contacts and events."""
