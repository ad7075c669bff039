"""The parts of a person that contacts have, and what may be written in each.

Source: https://developers.google.com/people/api/rest/v1/people#Person (and the API's discovery document)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.google.errors import invalid

JsonObject = dict[str, Any]

WRITABLE: dict[str, frozenset[str]] = {
    name: frozenset(members.split())
    for name, members in {
        "addresses": "type formattedValue poBox streetAddress extendedAddress city region postalCode country countryCode",
        "biographies": "value contentType",
        "birthdays": "date text",
        "calendarUrls": "url type",
        "clientData": "key value",
        "emailAddresses": "value type displayName",
        "events": "date type",
        "externalIds": "value type",
        "fileAses": "value",
        "genders": "value addressMeAs",
        "imClients": "username type protocol",
        "interests": "value",
        "locales": "value",
        "locations": "value type current buildingId floor floorSection deskCode",
        "memberships": "contactGroupMembership",
        "miscKeywords": "value type",
        "names": "familyName givenName middleName honorificPrefix honorificSuffix unstructuredName phoneticFullName "
        "phoneticFamilyName phoneticGivenName phoneticMiddleName phoneticHonorificPrefix phoneticHonorificSuffix",
        "nicknames": "value type",
        "occupations": "value",
        "organizations": "type startDate endDate current name phoneticName department title jobDescription symbol domain "
        "location costCenter fullTimeEquivalentMillipercent",
        "phoneNumbers": "value type",
        "relations": "person type",
        "sipAddresses": "value type",
        "urls": "value type",
        "userDefined": "key value",
    }.items()
}
READ_ONLY = frozenset({"ageRanges", "coverPhotos", "metadata", "photos", "skills"})
SINGLETONS = ("biographies", "birthdays", "genders", "names")
_ENVELOPE = frozenset({"resourceName", "etag"})
_COMPUTED = frozenset({"metadata", "formattedType", "displayName", "displayNameLastFirst", "canonicalForm",
                       "formattedProtocol", "formattedValue"})  # fmt: skip


def checked_mask(text: str, name: str) -> list[str]:
    """The fields of a field mask. Raises ApiError when it is empty or names what a person doesn't have."""
    fields = [field.strip() for field in text.split(",") if field.strip()]
    if not fields:
        raise invalid(f"{name} mask is required. Please specify one or more valid paths.", name)
    for field in fields:
        if field not in WRITABLE and field not in READ_ONLY:
            raise invalid(f'Invalid {name} mask path: "{field}".', name)
    return fields


def checked_update_mask(text: str, name: str) -> list[str]:
    """As above, of fields that can be written."""
    fields = checked_mask(text, name)
    for field in fields:
        if field not in WRITABLE:
            raise invalid(f'Invalid {name} mask path: "{field}". It is read only.', name)
    return fields


def cleaned(person: Mapping[str, Any]) -> JsonObject:
    """What of a given person is stored. Raises ApiError for fields there aren't, and for two of a singleton."""
    kept: JsonObject = {}
    for field, entries in person.items():
        if field in READ_ONLY or field in _ENVELOPE:
            continue
        if field not in WRITABLE:
            text = f'Invalid JSON payload received. Unknown name "{field}": Cannot find field.'
            raise invalid(text, field)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise invalid(f"Invalid value at '{field}': a list of messages is expected.", field)
        if field in SINGLETONS and len(entries) > 1:
            raise invalid(f"Only one value is allowed for '{field}' on a contact.", field)
        kept[field] = [_entry(field, entry) for entry in entries]
    return kept


def _entry(field: str, entry: Mapping[str, Any]) -> JsonObject:
    known = WRITABLE[field]
    for name, value in entry.items():
        if name not in known and name not in _COMPUTED:
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{field}': Cannot find field."
            raise invalid(text, f"{field}.{name}")
        if name == "value" and not isinstance(value, str):
            raise invalid(f"Invalid value at '{field}.value' (TYPE_STRING)", f"{field}.{name}")
    if field == "clientData" and not (entry.get("key") and entry.get("value")):
        raise invalid("Client data needs a key and a value.", field)
    given = entry.get("metadata") or {}
    stored = {name: value for name, value in entry.items() if name in known and value not in (None, "")}
    if given.get("sourcePrimary") or given.get("primary"):
        stored["_primary"] = True
    return stored


def rendered(field: str, entries: list[JsonObject], source: JsonObject) -> list[JsonObject]:
    """A field's entries as they are answered: with their metadata and what Google works out itself."""
    first = next((i for i, entry in enumerate(entries) if entry.get("_primary")), 0)
    answered = []
    for index, entry in enumerate(entries):
        metadata: JsonObject = {"source": source}
        if index == first:
            metadata = {"primary": True, "source": source, "sourcePrimary": True}
        values = {name: value for name, value in entry.items() if name != "_primary"}
        answered.append({"metadata": metadata} | values | _worked_out(field, values))
    return answered


def _worked_out(field: str, values: JsonObject) -> JsonObject:
    made: JsonObject = {}
    if isinstance(values.get("type"), str):
        made["formattedType"] = values["type"][:1].upper() + values["type"][1:]
    if field == "names":
        given, family = values.get("givenName"), values.get("familyName")
        whole = " ".join(part for part in (given, values.get("middleName"), family) if part)
        made["displayName"] = whole or values.get("unstructuredName", "")
        made["displayNameLastFirst"] = (
            ", ".join(part for part in (family, given) if part) or made["displayName"]
        )
        made["unstructuredName"] = values.get("unstructuredName") or whole
    if field == "phoneNumbers" and str(values.get("value", "")).startswith("+"):
        digits = "".join(c for c in values["value"] if unicodedata.category(c) == "Nd")
        made["canonicalForm"] = f"+{digits}"
    if field == "addresses" and not values.get("formattedValue"):
        city = " ".join(p for p in (values.get("postalCode"), values.get("city")) if p)
        lines = (values.get("streetAddress"), city, values.get("region"), values.get("country"))
        made["formattedValue"] = "\n".join(line for line in lines if line)
    if field == "biographies":
        made["contentType"] = values.get("contentType", "TEXT_PLAIN")
    return made
