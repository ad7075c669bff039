"""How contacts and events become shards, where a connection names no schema of its own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _direct(field: str, source: str, **more: Any) -> Json:
    return {"kind": "direct", "field": field, "source": source, **more}


def _inbound(field: str, source: str, **more: Any) -> Json:
    return _direct(field, source, direction="inbound", **more)


def _schema(entity: str, shard_type: str, label_field: str, mappings: list[Json]) -> Json:
    return {
        "id": f"google-{entity.lower()}",
        # Of no tenant: it is the same for all.
        "tenantId": "",
        "integrationId": "google",
        "entity": entity,
        "shardType": shard_type,
        "version": 1,
        "labelField": label_field,
        "mappings": mappings,
    }


DEFAULT_SCHEMAS: tuple[Json, ...] = (
    _schema(
        "Contact",
        "contact",
        "name",
        [
            _direct("firstName", "name.givenName"),
            _direct("lastName", "name.familyName"),
            _inbound("name", "name.displayName"),
            _direct("email", "emailAddress.value"),
            _direct("phone", "phoneNumber.value"),
            _direct("mobilePhone", "mobilePhone.value"),
            _direct("company", "organization.name"),
            _direct("title", "organization.title"),
            _direct("department", "organization.department"),
            _direct("website", "url.value"),
            _direct("birthDate", "birthday.date", type="date"),
            _direct("description", "biography.value"),
            _direct("street", "address.streetAddress"),
            _direct("city", "address.city"),
            _direct("state", "address.region"),
            _direct("postalCode", "address.postalCode"),
            _direct("country", "address.country"),
        ],
    ),
    _schema(
        "Event",
        "event",
        "title",
        [
            _direct("title", "summary"),
            _direct("description", "description"),
            _direct("location", "location"),
            _direct("startTime", "start.dateTime", type="datetime"),
            _direct("endTime", "end.dateTime", type="datetime"),
            _direct("startDate", "start.date", type="date"),
            _direct("endDate", "end.date", type="date"),
            _direct("timeZone", "start.timeZone"),
            _inbound("status", "status"),
            _inbound("organizer", "organizer.email"),
            {
                "kind": "transform",
                "field": "attendees",
                "source": "attendees",
                "transforms": [{"name": "pluck", "options": {"key": "email"}}, "sort"],
                # Written back as bare addresses they would lose their answers to the invitation.
                "direction": "inbound",
            },
            _inbound("recurrence", "recurrence"),
            _inbound("url", "htmlLink"),
        ],
    ),
)
